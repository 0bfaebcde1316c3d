using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.RegularExpressions;

namespace GmapNative.Tests.Abi;

internal sealed record CParameter(string Type, string Name);

internal sealed record CFunction(string Name, string Result, IReadOnlyList<CParameter> Parameters, string Comment);

internal sealed record CField(string Type, string Name, int Count);

internal sealed record CStruct(string Name, IReadOnlyList<CField> Fields);

/// <summary>
/// gmap.h under a strict grammar: <c>GMAP_API type name(parameters);</c>, <c>typedef struct x { fields } x;</c>,
/// <c>#define GMAP_X number</c>. What does not fit it is an error, so nothing is passed over.
/// </summary>
internal sealed partial class CHeader
{
    public IReadOnlyList<CFunction> Functions { get; }

    public IReadOnlyList<CStruct> Structs { get; }

    public IReadOnlyDictionary<string, long> Constants { get; }

    private CHeader(string text)
    {
        Functions = [.. ReadFunctions(text)];
        string code = Comments().Replace(text, " ");
        Structs = [.. StructPattern().Matches(code).Select(ReadStruct)];
        Constants = ReadConstants(code);
        int apis = Apis().Count(code);
        int structs = StructKeyword().Count(code);
        if (apis != Functions.Count || structs != Structs.Count)
        {
            throw new InvalidDataException($"{apis} GMAP_API, {Functions.Count} read; {structs} structs, {Structs.Count} read");
        }
    }

    public static CHeader Read(string name) => new(File.ReadAllText(Path.Combine(Repository.Include, name)));

    /// <summary>const and typedef names that say nothing of the layout are dropped, blanks made one.</summary>
    public static string Canonical(string type)
    {
        string plain = Const().Replace(type, " ").Replace("struct ", " ", StringComparison.Ordinal);
        plain = Blanks().Replace(plain, " ").Trim().Replace(" *", "*", StringComparison.Ordinal);
        return plain.Replace("gmap_status", "int32_t", StringComparison.Ordinal);
    }

    /// <summary>A comment describes the functions that follow it, up to the next comment or the next blank line.</summary>
    private static IEnumerable<CFunction> ReadFunctions(string text)
    {
        string comment = "";
        foreach (Match match in CommentOrFunction().Matches(text))
        {
            if (match.Groups["comment"].Success)
            {
                comment = match.Value;
            }
            else if (match.Groups["blank"].Success)
            {
                comment = "";
            }
            else
            {
                (string result, string name) = SplitDeclarator(match.Groups["head"].Value);
                string inside = match.Groups["parameters"].Value.Trim();
                IEnumerable<CParameter> parameters = inside == "void" ? [] : inside.Split(',').Select(ReadParameter);
                yield return new CFunction(name, result, [.. parameters], comment);
            }
        }
    }

    private static CParameter ReadParameter(string text)
    {
        (string type, string name) = SplitDeclarator(text);
        return new CParameter(type, name);
    }

    private static (string Type, string Name) SplitDeclarator(string text)
    {
        Match match = Declarator().Match(text.Trim());
        return match.Success
            ? (Canonical(match.Groups["type"].Value), match.Groups["name"].Value)
            : throw new InvalidDataException($"not a declarator: {text}");
    }

    private static CStruct ReadStruct(Match match)
    {
        if (match.Groups["tag"].Value != match.Groups["name"].Value)
        {
            throw new InvalidDataException($"tag and typedef differ: {match.Groups["tag"].Value}");
        }

        IEnumerable<string> lines = match.Groups["body"].Value.Split(';').Select(line => line.Trim()).Where(line => line.Length > 0);
        return new CStruct(match.Groups["name"].Value, [.. lines.Select(ReadField)]);
    }

    private static CField ReadField(string text)
    {
        Match callback = Callback().Match(text);
        if (callback.Success)
        {
            return new CField("callback", callback.Groups["name"].Value, 1);
        }

        Match array = ArrayField().Match(text);
        (string type, string name) = SplitDeclarator(array.Success ? array.Groups["field"].Value : text);
        return new CField(type, name, array.Success ? int.Parse(array.Groups["count"].Value, CultureInfo.InvariantCulture) : 1);
    }

    private static Dictionary<string, long> ReadConstants(string code)
    {
        var constants = new Dictionary<string, long>();
        foreach (Match match in Define().Matches(code))
        {
            string number = match.Groups["number"].Value.TrimEnd('u', 'l');
            constants.Add(match.Groups["name"].Value, number.StartsWith("0x", StringComparison.Ordinal)
                ? Convert.ToInt64(number, 16)
                : long.Parse(number, CultureInfo.InvariantCulture));
        }

        return constants;
    }

    [GeneratedRegex(@"/\*.*?\*/", RegexOptions.Singleline)]
    private static partial Regex Comments();

    [GeneratedRegex(@"(?<comment>/\*.*?\*/)|^GMAP_API\s+(?<head>[^();]+)\((?<parameters>[^();]*)\);|(?<blank>\n[ \t]*\n)",
        RegexOptions.Singleline | RegexOptions.Multiline)]
    private static partial Regex CommentOrFunction();

    [GeneratedRegex(@"^\s*GMAP_API\b", RegexOptions.Multiline)]
    private static partial Regex Apis();

    [GeneratedRegex(@"\bstruct\s+\w+\s*\{")]
    private static partial Regex StructKeyword();

    [GeneratedRegex(@"typedef struct (?<tag>\w+)\s*\{(?<body>[^{}]*)\}\s*(?<name>\w+)\s*;", RegexOptions.Singleline)]
    private static partial Regex StructPattern();

    [GeneratedRegex(@"^(?<type>.*[\s*])(?<name>[a-z_][a-z0-9_]*)$", RegexOptions.Singleline)]
    private static partial Regex Declarator();

    [GeneratedRegex(@"\(\*(?<name>\w+)\)\(")]
    private static partial Regex Callback();

    [GeneratedRegex(@"^(?<field>.*)\[(?<count>\d+)\]$", RegexOptions.Singleline)]
    private static partial Regex ArrayField();

    [GeneratedRegex(@"^#define\s+(?<name>GMAP_[A-Z0-9_]+)\s+\(?(?<number>-?(0x[0-9A-Fa-f]+|\d+)[ul]*)\)?\s*$", RegexOptions.Multiline)]
    private static partial Regex Define();

    [GeneratedRegex(@"\bconst\b")]
    private static partial Regex Const();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Blanks();
}
