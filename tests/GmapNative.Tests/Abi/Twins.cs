using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.InteropServices;
using System.Text;
using GmapNative.Dirty;
using GmapNative.Exports.Abi;
using GmapNative.Memory;

namespace GmapNative.Tests.Abi;

/// <summary>Which C# type stands for which C type, found in the exports' assembly by name.</summary>
internal static class Twins
{
    private static readonly Assembly Exports = Assembly.Load("libgmapnative");

    /// <summary>Structs that have another name on our side: those of the inline header, and runs, are the engine's own.</summary>
    private static readonly Dictionary<string, Type> Named = new()
    {
        ["gmap_view"] = typeof(ViewWords),
        ["gmap_space_word"] = typeof(SpaceWords),
        ["gmap_slot"] = typeof(SlotConfig),
        ["gmap_notifier"] = typeof(NotifierConfig),
        ["gmap_range"] = typeof(DirtyRun),
    };

    private static readonly Dictionary<Type, string> Scalars = new()
    {
        [typeof(void)] = "void",
        [typeof(byte)] = "char",
        [typeof(int)] = "int32_t",
        [typeof(uint)] = "uint32_t",
        [typeof(long)] = "int64_t",
        [typeof(ulong)] = "uint64_t",
        [typeof(nuint)] = "size_t",
    };

    /// <summary>Fields that the engine calls otherwise.</summary>
    private static readonly Dictionary<string, string> OtherNames = new()
    {
        ["gmap_view.ask_addr"] = "AskAddress",
        ["gmap_view.inline_version"] = "Version",
    };

    /// <summary>Every exported method, by its entry point.</summary>
    public static IReadOnlyDictionary<string, MethodInfo> EntryPoints { get; } = Exports.GetTypes()
        .SelectMany(type => type.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
        .Select(method => (Method: method, Attribute: method.GetCustomAttribute<UnmanagedCallersOnlyAttribute>()))
        .Where(pair => pair.Attribute?.EntryPoint is not null)
        .ToDictionary(pair => pair.Attribute!.EntryPoint!, pair => pair.Method);

    /// <summary>The twin of a C struct: gmap_space_config is SpaceConfig.</summary>
    public static Type? TypeOf(string structName) => Named.TryGetValue(structName, out Type? type)
        ? type
        : Exports.GetTypes().SingleOrDefault(candidate => candidate.IsValueType && candidate.Name == Pascal(structName["gmap_".Length..]));

    /// <summary>The field of the same name, as C or as C# writes it.</summary>
    public static FieldInfo? FieldOf(Type type, string structName, string field)
    {
        const BindingFlags all = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;
        return type.GetField(field, all) ?? type.GetField(OtherNames.GetValueOrDefault($"{structName}.{field}", Pascal(field)), all);
    }

    /// <summary>The C type that a C# type stands for.</summary>
    public static string CTypeOf(Type type)
    {
        if (type.IsPointer)
        {
            return CTypeOf(type.GetElementType()!) + "*";
        }

        if (type.IsFunctionPointer)
        {
            return "callback";
        }

        type = type.IsEnum ? Enum.GetUnderlyingType(type) : type;
        return Scalars.TryGetValue(type, out string? scalar)
            ? scalar
            : Named.FirstOrDefault(pair => pair.Value == type).Key ?? "gmap_" + Snake(type.Name);
    }

    /// <summary>sizeof as the machine sees it.</summary>
    public static int SizeOf(Type type)
    {
        var method = new DynamicMethod("SizeOf", typeof(int), [], typeof(Twins).Module, skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        il.Emit(OpCodes.Sizeof, type);
        il.Emit(OpCodes.Ret);
        return method.CreateDelegate<Func<int>>()();
    }

    /// <summary>Where a field is: its address less that of the struct.</summary>
    public static unsafe int OffsetOf(FieldInfo field)
    {
        var method = new DynamicMethod("OffsetOf", typeof(nint), [typeof(nint)], typeof(Twins).Module, skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Conv_I);
        il.Emit(OpCodes.Ret);
        // ldflda may look whether its address can be read at all, so this one can.
        byte* somewhere = stackalloc byte[1];
        return (int)(method.CreateDelegate<Func<nint, nint>>()((nint)somewhere) - (nint)somewhere);
    }

    private static string Pascal(string snake) =>
        string.Concat(snake.Split('_').Where(part => part.Length > 0).Select(part => char.ToUpperInvariant(part[0]) + part[1..]));

    private static string Snake(string pascal)
    {
        var snake = new StringBuilder();
        foreach (char letter in pascal)
        {
            if (char.IsUpper(letter) && snake.Length > 0)
            {
                snake.Append('_');
            }

            snake.Append(char.ToLowerInvariant(letter));
        }

        return snake.ToString();
    }
}
