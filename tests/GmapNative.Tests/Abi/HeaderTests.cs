using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>gmap.h against the exported methods: the same functions, the same prototypes, both ways; each one is documented.</summary>
[TestFixture]
internal sealed class HeaderTests
{
    private static readonly CHeader Header = CHeader.Read("gmap.h");

    private static readonly string[] Functions = [.. Header.Functions.Select(function => function.Name)];

    [Test]
    public void HeaderAndExportsNameTheSameFunctions()
    {
        Assert.That(Functions, Is.Unique);
        Assert.That(Twins.EntryPoints.Keys.Order(StringComparer.Ordinal), Is.EqualTo(Functions.Order(StringComparer.Ordinal)));
    }

    [Test]
    public void TheListOfExportsIsTheHeaders()
    {
        IEnumerable<string> lines = File.ReadAllLines(Path.Combine(Repository.Root, "native-exports", "exports.txt"))
            .Where(line => line.Length > 0 && !line.StartsWith('#'));
        Assert.That(lines.Order(StringComparer.Ordinal), Is.EqualTo(Functions.Order(StringComparer.Ordinal)));
    }

    [TestCaseSource(nameof(Functions))]
    public void PrototypesAgree(string name)
    {
        CFunction function = Header.Functions.Single(candidate => candidate.Name == name);
        Assert.That(Twins.EntryPoints, Does.ContainKey(name));
        MethodInfo method = Twins.EntryPoints[name];
        Assert.That(Twins.CTypeOf(method.ReturnType), Is.EqualTo(function.Result), "result");
        ParameterInfo[] parameters = method.GetParameters();
        Assert.That(parameters, Has.Length.EqualTo(function.Parameters.Count));
        for (int i = 0; i < parameters.Length; i++)
        {
            CParameter declared = function.Parameters[i];
            Assert.That(Agree(declared.Type, Twins.CTypeOf(parameters[i].ParameterType)),
                $"{name}, parameter {i}: {declared.Type} {declared.Name} against {parameters[i]}");
        }
    }

    [TestCaseSource(nameof(Functions))]
    public void EveryFunctionIsDocumented(string name)
    {
        string comment = Header.Functions.Single(candidate => candidate.Name == name).Comment;
        Assert.That(comment, Is.Not.Empty, $"no comment stands before {name}, or a blank line parts them");
        Assert.That(comment, Does.Not.Contain("----"), $"the comment before {name} is a heading");
    }

    /// <summary>The same type; or bytes, which C calls void or char.</summary>
    private static bool Agree(string c, string managed) => c == managed || (c == "void*" && managed == "char*");
}
