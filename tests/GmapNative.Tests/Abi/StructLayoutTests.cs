using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Text;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>
/// The structs of both headers against their C# twins: names and types of all fields by reflection, sizes and offsets by
/// static assertions that C and C++ compilers check.
/// </summary>
[TestFixture]
internal sealed class StructLayoutTests
{
    /// <summary>The cache is the host's alone: the library never sees it.</summary>
    private static readonly string[] HeaderOnly = ["gmap_cache_entry"];

    private static readonly CStruct[] Structs =
        [.. CHeader.Read("gmap.h").Structs.Concat(CHeader.Read("gmap_inline.h").Structs).Where(s => !HeaderOnly.Contains(s.Name))];

    private static readonly string[] Names = [.. Structs.Select(s => s.Name)];

    [Test]
    public void EveryStructIsKnown() => Assert.That(Names, Is.SupersetOf((string[])
        ["gmap_engine_config", "gmap_engine_stats", "gmap_space_config", "gmap_space_stats", "gmap_slot", "gmap_vcpu_config",
         "gmap_fault_result", "gmap_fault_request", "gmap_image_sink", "gmap_image_frame_map", "gmap_backing_config", "gmap_view",
         "gmap_space_word"]));

    [TestCaseSource(nameof(Names))]
    public void FieldsHaveTheSameTypes(string name)
    {
        (CStruct declared, Type twin) = Find(name);
        foreach (CField field in declared.Fields)
        {
            FieldInfo? found = Twins.FieldOf(twin, name, field.Name);
            Assert.That(found, Is.Not.Null, $"{twin.Name} has no field for {name}.{field.Name}");
            bool opaque = found!.FieldType.IsFunctionPointer || found.FieldType == typeof(nint);
            string type = field.Count > 1 || opaque ? field.Type : Twins.CTypeOf(found.FieldType);
            Assert.That(Untyped(type), Is.EqualTo(Untyped(field.Type)), $"{name}.{field.Name}");
        }

        int named = twin.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).Length;
        Assert.That(named, Is.GreaterThanOrEqualTo(declared.Fields.Count), $"{twin.Name} against {name}");
        if (declared.Fields.All(field => field.Count == 1))
        {
            Assert.That(named, Is.EqualTo(declared.Fields.Count), $"{twin.Name} has fields that {name} has not");
        }
    }

    [Test]
    public void SizesAndOffsetsHoldInC([Values("c99", "c11", "c++17")] string standard)
    {
        bool cpp = standard.StartsWith("c++", StringComparison.Ordinal);
        string source = Path.Combine(Path.GetTempPath(), $"gmap-layout-{TestContext.CurrentContext.Test.ID}.{(cpp ? "cpp" : "c")}");
        File.WriteAllText(source, Assertions());
        try
        {
            NativeHost.CompileWith(NativeHost.Gcc(cpp),
            [
                $"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", $"-I{Repository.Include}", "-c", source, "-o", "/dev/null",
            ]);
        }
        finally
        {
            File.Delete(source);
        }
    }

    private static (CStruct Declared, Type Twin) Find(string name)
    {
        Type? twin = Twins.TypeOf(name);
        Assert.That(twin, Is.Not.Null, $"no C# struct stands for {name}");
        return (Structs.Single(s => s.Name == name), twin!);
    }

    /// <summary>A pointer is a pointer: what it points to is the prototypes' business.</summary>
    private static string Untyped(string type) => type.EndsWith('*') || type == "callback" ? "pointer" : type;

    private static string Assertions()
    {
        var text = new StringBuilder("""
            #include "gmap_inline.h"
            #include <stddef.h>
            #ifdef __cplusplus
            #define SAME(holds, text) static_assert(holds, text)
            #else
            #define SAME(holds, text) __extension__ _Static_assert(holds, text)
            #endif
            #define SIZE_OF(type, field) sizeof(((type *)0)->field)

            """);
        foreach (string name in Names)
        {
            (CStruct declared, Type twin) = Find(name);
            Append(text, $"sizeof({name})", Twins.SizeOf(twin));
            foreach (CField field in declared.Fields)
            {
                FieldInfo twinField = Twins.FieldOf(twin, name, field.Name)!;
                Append(text, $"offsetof({name}, {field.Name})", Twins.OffsetOf(twinField));
                if (field.Count == 1)
                {
                    Append(text, $"SIZE_OF({name}, {field.Name})", Twins.SizeOf(twinField.FieldType));
                }
            }
        }

        return text.ToString();
    }

    private static void Append(StringBuilder text, string expression, int value) =>
        text.Append(CultureInfo.InvariantCulture, $"SAME({expression} == {value}, \"{expression} is {value} in C#\");\n");
}
