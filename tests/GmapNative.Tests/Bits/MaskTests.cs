using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Reflection;
using GmapNative.Bits;
using NUnit.Framework;

namespace GmapNative.Tests.Bits;

/// <summary>Every mask and bit of every word against its golden value; fields of one format do not overlap.</summary>
[TestFixture]
internal sealed class MaskTests
{
    private static readonly Dictionary<Type, Dictionary<string, ulong>> Golden = new()
    {
        [typeof(Asce)] = new()
        {
            ["OriginMask"] = 0xFFFFFFFFFFFFF000,
            ["SubspaceGroup"] = 0x200,
            ["PrivateSpace"] = 0x100,
            ["StorageAlteration"] = 0x80,
            ["SpaceSwitch"] = 0x40,
            ["RealSpace"] = 0x20,
            ["TypeMask"] = 0x0C,
            ["LengthMask"] = 0x03,
            ["GuestControl"] = 0x1C0,
        },
        [typeof(RegionEntry)] = new()
        {
            ["OriginMask"] = 0xFFFFFFFFFFFFF000,
            ["FrameMask"] = 0xFFFFFFFF80000000,
            ["FormatControl"] = 0x400,
            ["Protect"] = 0x200,
            ["OffsetMask"] = 0xC0,
            ["Invalid"] = 0x20,
            ["Common"] = 0x10,
            ["TypeMask"] = 0x0C,
            ["LengthMask"] = 0x03,
            ["LeafHardwareMask"] = 0xFFFFFFFF8001073C,
        },
        [typeof(SegmentEntry)] = new()
        {
            ["TableOriginMask"] = 0xFFFFFFFFFFFFF800,
            ["FrameMask"] = 0xFFFFFFFFFFF00000,
            ["AccessValidity"] = 0x10000,
            ["FormatControl"] = 0x400,
            ["Protect"] = 0x200,
            ["InstructionExecutionProtection"] = 0x100,
            ["Invalid"] = 0x20,
            ["Common"] = 0x10,
            ["TypeMask"] = 0x0C,
            ["Special"] = 0x8000,
            ["Writable"] = 0x4000,
            ["Readable"] = 0x2000,
            ["Dirty"] = 0x1000,
            ["Young"] = 0x0800,
            ["NotifyMarker"] = 0x80,
            ["ShadowMarker"] = 0x40,
            ["SoftDirty"] = 0x02,
            ["Present"] = 0x01,
            ["FrozenBit"] = 0x80,
            ["LockBit"] = 0x40,
            ["SplitBit"] = 0x01,
            ["WatchedBit"] = 0x02,
            ["Markers"] = 0xC0,
            ["LeafHardwareMask"] = 0xFFFFFFFFFFF1073C,
            ["TableHardwareMask"] = 0xFFFFFFFFFFFFFE3C,
        },
        [typeof(PageEntry)] = new()
        {
            ["FrameMask"] = 0xFFFFFFFFFFFFF000,
            ["MustBeZero"] = 0x800,
            ["Invalid"] = 0x400,
            ["Protect"] = 0x200,
            ["InstructionExecutionProtection"] = 0x100,
            ["ShadowMarker"] = 0x80,
            ["NotifyMarker"] = 0x40,
            ["Writable"] = 0x20,
            ["Readable"] = 0x10,
            ["Dirty"] = 0x08,
            ["Young"] = 0x04,
            ["SoftDirty"] = 0x02,
            ["Present"] = 0x01,
            ["Markers"] = 0xC0,
            ["HardwareMask"] = 0xFFFFFFFFFFFFFF00,
        },
        [typeof(Pgste)] = new()
        {
            ["AccessKeyMask"] = 0xF000000000000000,
            ["FetchProtection"] = 0x0800000000000000,
            ["Lock"] = 0x0080000000000000,
            ["HostReferenced"] = 0x0040000000000000,
            ["HostChanged"] = 0x0020000000000000,
            ["GuestReferenced"] = 0x0004000000000000,
            ["GuestChanged"] = 0x0002000000000000,
            ["ProgramMask"] = 0x0000FFFF00000000,
            ["LogicallyZero"] = 0x0000000080000000,
            ["NoDat"] = 0x0000000040000000,
            ["UsageMask"] = 0x0000000003000000,
            ["CmmaDirty"] = 0x8000,
            ["NotifyMarker"] = 0x4000,
            ["ShadowMarker"] = 0x2000,
            ["GuestMemory"] = 0x1000,
            ["UsageShift"] = 24,
            ["ProgramShift"] = 32,
            ["KeyShift"] = 56,
            ["HardwareMask"] = 0xF8660000C3000000,
        },
        [typeof(StorageKey)] = new()
        {
            ["AccessMask"] = 0xF0,
            ["FetchProtection"] = 0x08,
            ["Referenced"] = 0x04,
            ["Changed"] = 0x02,
            ["Mask"] = 0xFE,
        },
        [typeof(Token)] = new()
        {
            ["KindShift"] = 48,
            ["ParameterShift"] = 32,
            ["Mask"] = 0xFFFFFFFF00000000,
            ["None"] = 0,
            ["ProgramInterruption"] = 1,
        },
        [typeof(GuestAddress)] = new()
        {
            ["PageShift"] = 12,
            ["SegmentShift"] = 20,
            ["RegionThirdShift"] = 31,
            ["RegionSecondShift"] = 42,
            ["RegionFirstShift"] = 53,
            ["PageSize"] = 0x1000,
            ["SegmentSize"] = 0x100000,
            ["RegionThirdSize"] = 0x80000000,
            ["TableEntries"] = 2048,
            ["RegionThirdPages"] = 0x80000,
            ["PageTableEntries"] = 256,
        },
    };

    private static readonly Type[] WordTypes = [.. Golden.Keys];

    /// <summary>Fields that stand beside each other in one format, and what together they must cover.</summary>
    private static readonly (string Format, Type Word, string[] Fields, ulong Covered)[] Formats =
    [
        ("ASCE", typeof(Asce),
            ["OriginMask", "SubspaceGroup", "PrivateSpace", "StorageAlteration", "SpaceSwitch", "RealSpace", "TypeMask", "LengthMask"],
            0xFFFFFFFFFFFFF3EF),
        ("region FC=0", typeof(RegionEntry),
            ["OriginMask", "FormatControl", "Protect", "OffsetMask", "Invalid", "Common", "TypeMask", "LengthMask"],
            0xFFFFFFFFFFFFF6FF),
        ("segment FC=0", typeof(SegmentEntry),
            ["TableOriginMask", "FormatControl", "Protect", "FrozenBit", "LockBit", "Invalid", "Common", "TypeMask", "WatchedBit",
             "SplitBit"],
            0xFFFFFFFFFFFFFEFF),
        ("segment FC=1", typeof(SegmentEntry),
            ["FrameMask", "AccessValidity", "Special", "Writable", "Readable", "Dirty", "Young", "FormatControl", "Protect",
             "InstructionExecutionProtection", "NotifyMarker", "ShadowMarker", "Invalid", "Common", "TypeMask", "SoftDirty", "Present"],
            0xFFFFFFFFFFF1FFFF),
        ("page", typeof(PageEntry),
            ["FrameMask", "MustBeZero", "Invalid", "Protect", "InstructionExecutionProtection", "ShadowMarker", "NotifyMarker",
             "Writable", "Readable", "Dirty", "Young", "SoftDirty", "Present"],
            0xFFFFFFFFFFFFFFFF),
        ("PGSTE", typeof(Pgste),
            ["AccessKeyMask", "FetchProtection", "Lock", "HostReferenced", "HostChanged", "GuestReferenced", "GuestChanged",
             "ProgramMask", "LogicallyZero", "NoDat", "UsageMask", "CmmaDirty", "NotifyMarker", "ShadowMarker", "GuestMemory"],
            0xF8E6FFFFC300F000),
        ("storage key", typeof(StorageKey), ["AccessMask", "FetchProtection", "Referenced", "Changed"], 0xFE),
    ];

    private static Dictionary<string, ulong> ConstantsOf(Type word) => word
        .GetFields(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.DeclaredOnly)
        .Where(field => field.IsLiteral)
        .ToDictionary(field => field.Name, field => Convert.ToUInt64(field.GetRawConstantValue(), CultureInfo.InvariantCulture));

    [TestCaseSource(nameof(WordTypes))]
    public void EveryConstantHasItsGoldenValue(Type word)
    {
        Assert.That(ConstantsOf(word).OrderBy(pair => pair.Key), Is.EqualTo(Golden[word].OrderBy(pair => pair.Key)));
    }

    [Test]
    public void FieldsOfAFormatAreDisjointAndCoverIt()
    {
        foreach ((string format, Type word, string[] fields, ulong covered) in Formats)
        {
            Dictionary<string, ulong> constants = ConstantsOf(word);
            ulong seen = 0;
            foreach (string field in fields)
            {
                Assert.That(seen & constants[field], Is.Zero, $"{format}: {field} overlaps a field before it");
                seen |= constants[field];
            }

            Assert.That(seen, Is.EqualTo(covered), format);
        }
    }

    [Test]
    public void HardwareAndSoftwareBitsOfAFormatAreDisjoint()
    {
        const ulong leafSoftware = 0xF800 | 0xC0 | 0x03; // legal only while AV = 0
        Assert.That(SegmentEntry.LeafHardwareMask & leafSoftware, Is.Zero);
        Assert.That(RegionEntry.LeafHardwareMask & leafSoftware, Is.Zero);
        const ulong Software = SegmentEntry.FrozenBit | SegmentEntry.LockBit | SegmentEntry.WatchedBit | SegmentEntry.SplitBit;
        Assert.That(SegmentEntry.TableHardwareMask & Software, Is.Zero);
        Assert.That(~PageEntry.HardwareMask, Is.EqualTo(0xFFUL));
        Assert.That(PageEntry.Markers, Is.EqualTo(PageEntry.NotifyMarker | PageEntry.ShadowMarker));
    }

    [Test]
    public void LevelsAreTheDesignationTypes()
    {
        Assert.That((int)TableType.Segment << 2, Is.Zero);
        Assert.That((int)TableType.RegionThird << 2, Is.EqualTo(0x04));
        Assert.That((int)TableType.RegionSecond << 2, Is.EqualTo(0x08));
        Assert.That((int)TableType.RegionFirst << 2, Is.EqualTo(0x0C));
    }
}
