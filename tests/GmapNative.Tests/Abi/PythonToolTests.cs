using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>The tool in Python: what it believes of gmap.h is so, and what it shows is what was written.</summary>
[TestFixture]
internal sealed class PythonToolTests
{
    private static readonly CHeader s_header = CHeader.Read("gmap.h");

    [Test]
    public void Its_prototypes_are_the_header_s()
    {
        using JsonDocument believed = Believed();
        foreach (JsonProperty function in believed.RootElement.GetProperty("functions").EnumerateObject())
        {
            CFunction declared = s_header.Functions.Single(one => one.Name == function.Name);
            IEnumerable<string> types = declared.Parameters.Select(parameter => parameter.Type).Prepend(declared.Result);
            Assert.That(function.Value.EnumerateArray().Select(type => type.GetString()), Is.EqualTo(types), function.Name);
        }
    }

    [Test]
    public void Its_structs_and_constants_are_the_header_s()
    {
        using JsonDocument believed = Believed();
        foreach (JsonProperty one in believed.RootElement.GetProperty("structs").EnumerateObject())
        {
            CStruct declared = s_header.Structs.Single(candidate => candidate.Name == one.Name);
            JsonElement[][] fields = [.. one.Value.EnumerateArray().Select(field => field.EnumerateArray().ToArray())];
            Assert.That(fields.Select(field => field[0].GetString()), Is.EqualTo(declared.Fields.Select(field => field.Name)), one.Name);
            int offset = 0; // all of them are packed by themselves: StructLayoutTests asks the compiler
            foreach ((JsonElement[] field, CField known) in fields.Zip(declared.Fields))
            {
                int size = known.Type is "uint32_t" or "int32_t" ? 4 : 8;
                Assert.That(field[1].GetString(), Is.EqualTo(size == 4 ? known.Type : "uint64_t"), $"{one.Name}.{known.Name}");
                Assert.That(field[2].GetInt32(), Is.EqualTo(offset), $"{one.Name}.{known.Name}");
                offset += size;
            }
        }
        foreach (JsonProperty one in believed.RootElement.GetProperty("constants").EnumerateObject())
        {
            Assert.That(one.Value.GetInt64(), Is.EqualTo(s_header.Constants[one.Name]), one.Name);
        }
    }

    [Test]
    public void A_map_shows_what_was_written()
    {
        string picture = Path.Combine(Path.GetTempPath(), $"gmap-{Guid.NewGuid():n}.svg");
        try
        {
            (int exit, string output) = PythonTool.Run("map", "--mib", "8", "--writes", "300", "--neighbours", "3", "--svg", picture);
            Assert.That(exit, Is.Zero, output);
            string[] lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.That(lines.Take(16).Select(line => line.Length), Is.All.EqualTo(79), "addresses and 64 characters");
            Assert.That(lines[^1], Does.Match("^30[0-2] of 2048 pages are dirty, in [0-9]+ runs: "));
            int pages = int.Parse(lines[^1].Split(' ')[0]);
            Assert.That(File.ReadAllText(picture).Split("<rect").Length - 2, Is.EqualTo(pages), "a square for each, and the ground");
        }
        finally
        {
            File.Delete(picture);
        }
    }

    [Test]
    public void What_the_library_refuses_is_told()
    {
        (int exit, string output) = PythonTool.Run("map", "--mib", "0");
        Assert.That((exit, output.Contains("--mib", StringComparison.Ordinal)), Is.EqualTo((2, true)), output);
        (exit, output) = PythonTool.Run("map", "--mib", "9000000");
        Assert.That(exit, Is.Not.Zero, "no such memory");
    }

    private static JsonDocument Believed()
    {
        (int exit, string output) = PythonTool.Run("prototypes");
        Assert.That(exit, Is.Zero, output);
        return JsonDocument.Parse(output);
    }
}
