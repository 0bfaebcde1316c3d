using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace GmapNative.Tests.FastPath;

/// <summary>
/// Every word that the library's managed objects hold, by where it is: found from the static fields of its two assemblies on, so that a
/// field that somebody adds is looked at too.
/// </summary>
internal sealed class ObjectSnapshot
{
    private const BindingFlags Declared =
        BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private readonly Dictionary<string, object> _words = [];
    private readonly HashSet<object> _seen = new(ReferenceEqualityComparer.Instance);

    public ObjectSnapshot()
    {
        Type[] anchors = [typeof(GmapNative.Space.SpaceCounters), typeof(GmapNative.Exports.Spaces)];
        IEnumerable<Type> types = anchors.SelectMany(anchor => anchor.Assembly.GetTypes())
            .Where(type => !type.ContainsGenericParameters && !type.IsDefined(typeof(CompilerGeneratedAttribute)));
        foreach (FieldInfo field in types.SelectMany(type => type.GetFields(Declared)))
        {
            if (field is { IsStatic: true, IsLiteral: false } && !field.IsDefined(typeof(ThreadStaticAttribute)))
            {
                Add($"{field.DeclaringType!.Name}.{field.Name}", field.GetValue(null));
            }
        }
    }

    public int Count => _words.Count;

    /// <summary>Where the two differ; a word that only one has counts as well.</summary>
    public IEnumerable<string> Differences(ObjectSnapshot other) => _words.Keys.Union(other._words.Keys)
        .Where(path => !Equals(_words.GetValueOrDefault(path), other._words.GetValueOrDefault(path)));

    private void Add(string path, object? value)
    {
        switch (value)
        {
            case null or string or Delegate or MemberInfo:
                return;
            case Pointer pointer:
                _words[path] = PointerOf(pointer);
                return;
            case Array array:
                AddElements(path, array);
                return;
        }
        Type type = value.GetType();
        if (type.IsPrimitive || type.IsEnum)
        {
            _words[path] = value;
        }
        else if (IsLookedAt(type) && (type.IsValueType || _seen.Add(value)))
        {
            AddFields(path, value, type);
        }
    }

    private void AddElements(string path, Array array)
    {
        if (array.Rank != 1 || !_seen.Add(array))
        {
            return;
        }
        for (int i = 0; i < array.Length; i++)
        {
            Add($"{path}[{i}]", array.GetValue(i));
        }
    }

    private void AddFields(string path, object value, Type type)
    {
        for (Type? declaring = type; declaring is not null && IsLookedAt(declaring); declaring = declaring.BaseType)
        {
            foreach (FieldInfo field in declaring.GetFields(Declared).Where(field => !field.IsStatic))
            {
                Add($"{path}.{field.Name}", field.GetValue(value));
            }
        }
    }

    private static bool IsLookedAt(Type type) => type.Namespace is string name
        && (name.StartsWith("GmapNative", StringComparison.Ordinal) || name.StartsWith("System.Collections", StringComparison.Ordinal)
            || type == typeof(System.Threading.Lock));

    private static unsafe nint PointerOf(Pointer pointer) => (nint)Pointer.Unbox(pointer); // looked at as a number only
}
