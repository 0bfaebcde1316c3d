using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;

namespace GmapNative.Tests.BuildHabits;

/// <summary>
/// The rooms of the engine and their one direction: a file uses its own room and those before it. Diagnostics looks into all rooms
/// and none may use it; files beside the rooms (Status) may be used by all and use none. The rules work on the text of a file.
/// </summary>
internal static partial class RoomRules
{
    private const string Engine = "src/GmapNative/";
    private const string Last = "Diagnostics";

    private static readonly string[] s_rooms =
        ["Bits", "Memory", "Tables", "Space", "Dirty", "Keys", "Notify", "Shadow", "Backing", Last];

    private static readonly string[] s_roomsThatCallTheSystem = ["Memory", "Backing"];

    public static IEnumerable<string> Violations(string file, string text)
    {
        string code = Comment().Replace(text, "");
        string? room = RoomOf(file);
        if (file.StartsWith(Engine, StringComparison.Ordinal))
        {
            int own = room is null ? -1 : Array.IndexOf(s_rooms, room);
            if (room is not null && own < 0)
            {
                yield return $"{file}: {room} is no room";
            }

            string expected = room is null ? "GmapNative" : $"GmapNative.{room}";
            string actual = Namespace().Match(code).Groups[1].Value;
            if (actual.Length > 0 && actual != expected && !actual.StartsWith(expected + ".", StringComparison.Ordinal))
            {
                yield return $"{file}: namespace {actual}, but the folder says {expected}";
            }

            foreach (string used in Uses(code).Where(used => Array.IndexOf(s_rooms, used) > own))
            {
                yield return $"{file}: uses {used}, which stands after {room ?? "the files beside the rooms"}";
            }
        }

        if (SystemCall().IsMatch(code) && !s_roomsThatCallTheSystem.Contains(room))
        {
            yield return $"{file}: calls the system; only {string.Join(" and ", s_roomsThatCallTheSystem)} may";
        }
    }

    /// <summary>The rooms that a file names: by a using, by a full name, or by a name that its own namespace completes.</summary>
    private static IEnumerable<string> Uses(string code) =>
        FullName().Matches(code).Concat(ShortName().Matches(code)).Select(match => match.Groups[1].Value).Distinct();

    private static string? RoomOf(string file)
    {
        string rest = file.StartsWith(Engine, StringComparison.Ordinal) ? file[Engine.Length..] : "";
        int slash = rest.IndexOf('/', StringComparison.Ordinal);
        return slash < 0 ? null : rest[..slash];
    }

    [GeneratedRegex(@"//.*")]
    private static partial Regex Comment();

    [GeneratedRegex(@"^\s*namespace\s+([\w.]+)", RegexOptions.Multiline)]
    private static partial Regex Namespace();

    [GeneratedRegex(@"\bGmapNative\.(Bits|Memory|Tables|Space|Dirty|Keys|Notify|Shadow|Backing|Diagnostics)\b")]
    private static partial Regex FullName();

    [GeneratedRegex(@"(?<![\w.])(Bits|Memory|Tables|Space|Dirty|Keys|Notify|Shadow|Backing|Diagnostics)\.[A-Z]\w*\.")]
    private static partial Regex ShortName();

    [GeneratedRegex(@"\[\s*(Library|Dll)Import\b|\bNativeLibrary\.")]
    private static partial Regex SystemCall();
}
