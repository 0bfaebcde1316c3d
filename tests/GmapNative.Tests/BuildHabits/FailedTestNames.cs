using System.IO;
using NUnit.Framework;

namespace GmapNative.Tests.BuildHabits;

/// <summary>
/// <c>./build.sh test</c> ends with the names of what failed, and what each said: whoever sees only the end of a log knows where to look.
/// Its own function reads them from the runner's report, of which this has some lines.
/// </summary>
[TestFixture]
public sealed class FailedTestNames
{
    private const string Report =
        """
        <test-run id="0" name="GmapNative.Tests.dll" fullname="/x/GmapNative.Tests.dll" result="Failed" total="4" passed="2" failed="2">
          <test-suite type="TestFixture" id="0-1" name="F" fullname="GmapNative.Tests.F" classname="F" result="Failed" total="4" failed="2">
            <test-case id="0-2" name="A" fullname="GmapNative.Tests.F.A" methodname="A" runstate="Runnable" result="Passed" asserts="1" />
            <test-case id="0-3" name="B" fullname="GmapNative.Tests.F.B" methodname="B" runstate="Runnable" result="Failed" asserts="1">
              <failure>
                <message><![CDATA[Expected: 1
          But was: "2"]]></message>
              </failure>
              <assertions>
                <assertion result="Failed">
                </assertion>
              </assertions>
            </test-case>
            <test-case id="0-4" name="C" fullname="GmapNative.Tests.F.C(&quot;a &lt;&amp;&gt; b&quot;)" result="Failed" label="Error">
            </test-case>
            <test-case id="0-5" name="D" fullname="GmapNative.Tests.F.D" methodname="D" runstate="Ignored" seed="3" result="Skipped" />
          </test-suite>
        </test-run>
        """;

    [Test]
    public void Are_read_from_the_report()
    {
        string report = Path.GetTempFileName();
        File.WriteAllText(report, Report);
        (int status, string said) = Repository.Run(
            "bash", "-c", "set -euo pipefail; source <(sed -n '/^failed_tests()/,/^}/p' build.sh); failed_tests \"$0\"", report);
        File.Delete(report);
        Assert.That(status, Is.Zero, said);
        string[] expected =
            ["GmapNative.Tests.F.B", "  | Expected: 1", "  |   But was: \"2\"", "GmapNative.Tests.F.C(\"a <&> b\")"];
        Assert.That(said.Trim().Split('\n'), Is.EqualTo(expected));
    }
}
