using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using GmapNative.Bits;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>The numbers of the headers are the engine's numbers.</summary>
[TestFixture]
internal sealed class ConstantTests
{
    private static readonly IReadOnlyDictionary<string, long> Header = CHeader.Read("gmap.h").Constants;

    private static readonly IReadOnlyDictionary<string, long> Inline = CHeader.Read("gmap_inline.h").Constants;

    private static readonly Dictionary<string, string> StatusNames = new()
    {
        ["GMAP_EPERM"] = nameof(Status.NotPermitted),
        ["GMAP_ENOENT"] = nameof(Status.NoEntry),
        ["GMAP_EIO"] = nameof(Status.InputOutput),
        ["GMAP_E2BIG"] = nameof(Status.ArgumentTooBig),
        ["GMAP_EBADF"] = nameof(Status.BadHandle),
        ["GMAP_EAGAIN"] = nameof(Status.TryAgain),
        ["GMAP_ENOMEM"] = nameof(Status.NoMemory),
        ["GMAP_EFAULT"] = nameof(Status.Fault),
        ["GMAP_EBUSY"] = nameof(Status.Busy),
        ["GMAP_EEXIST"] = nameof(Status.Exists),
        ["GMAP_EINVAL"] = nameof(Status.Invalid),
        ["GMAP_EDEADLK"] = nameof(Status.Deadlock),
        ["GMAP_EOPNOTSUPP"] = nameof(Status.NotSupported),
        ["GMAP_ENOBUFS"] = nameof(Status.NoBuffer),
        ["GMAP_ETIMEDOUT"] = nameof(Status.TimedOut),
        ["GMAP_PIC_PROTECTION"] = nameof(Status.Protection),
        ["GMAP_PIC_ADDRESSING"] = nameof(Status.Addressing),
        ["GMAP_PIC_SEGMENT_TRANSLATION"] = nameof(Status.SegmentTranslation),
        ["GMAP_PIC_PAGE_TRANSLATION"] = nameof(Status.PageTranslation),
        ["GMAP_PIC_TRANSLATION_SPECIFICATION"] = nameof(Status.TranslationSpecification),
        ["GMAP_PIC_ASCE_TYPE"] = nameof(Status.AsceType),
        ["GMAP_PIC_REGION_FIRST"] = nameof(Status.RegionFirstTranslation),
        ["GMAP_PIC_REGION_SECOND"] = nameof(Status.RegionSecondTranslation),
        ["GMAP_PIC_REGION_THIRD"] = nameof(Status.RegionThirdTranslation),
    };

    private static readonly Dictionary<string, ulong> InlineValues = new()
    {
        ["GMAP_INLINE_VERSION"] = ViewWords.InlineVersion,
        ["GMAP_ASCE_ORIGIN"] = Asce.OriginMask,
        ["GMAP_ASCE_DT"] = Asce.TypeMask,
        ["GMAP_ASCE_DT_REGION3"] = (ulong)TableType.RegionThird << 2,
        ["GMAP_ASCE_DT_REGION1"] = (ulong)TableType.RegionFirst << 2,
        ["GMAP_TABLE_INVALID"] = SegmentEntry.Invalid,
        ["GMAP_TABLE_PROTECT"] = SegmentEntry.Protect,
        ["GMAP_TABLE_LEAF"] = SegmentEntry.FormatControl,
        ["GMAP_REGION_ORIGIN"] = RegionEntry.OriginMask,
        ["GMAP_REGION_FRAME"] = RegionEntry.FrameMask,
        ["GMAP_SEGMENT_PTO"] = SegmentEntry.TableOriginMask,
        ["GMAP_SEGMENT_FRAME"] = SegmentEntry.FrameMask,
        ["GMAP_PAGE_FRAME"] = PageEntry.FrameMask,
        ["GMAP_PAGE_INVALID"] = PageEntry.Invalid,
        ["GMAP_PAGE_PROTECT"] = PageEntry.Protect,
        ["GMAP_PAGE_PRESENT"] = PageEntry.Present,
        ["GMAP_PAGE_SOFT_DIRTY"] = PageEntry.SoftDirty,
        ["GMAP_PAGE_YOUNG"] = PageEntry.Young,
        ["GMAP_PAGE_DIRTY"] = PageEntry.Dirty,
        ["GMAP_PAGE_WRITE"] = PageEntry.Writable,
        ["GMAP_PAGE_MARKERS"] = PageEntry.Markers,
        ["GMAP_SUMMARY_OFFSET"] = SegmentTable.SummaryOffset,
        ["GMAP_DENSE_OFFSET"] = SegmentTable.DenseOffset,
        ["GMAP_STRIPES_OFFSET"] = SegmentTable.StripesOffset,
    };

    /// <summary>What the inline calls answer themselves; no twin.</summary>
    private static readonly string[] InlineAnswers = ["GMAP_INLINE_ASK", "GMAP_INLINE_TORN"];

    [Test]
    public void EveryStatusIsInBoth()
    {
        Dictionary<string, long> engine = typeof(Status)
            .GetFields(BindingFlags.Public | BindingFlags.Static)
            .Where(field => field.IsLiteral && field.Name != nameof(Status.Ok))
            .ToDictionary(field => field.Name, field => (long)(int)field.GetRawConstantValue()!);
        Dictionary<string, long> header = Header
            .Where(pair => pair.Key.StartsWith("GMAP_E", StringComparison.Ordinal) && pair.Value < 0
                || pair.Key.StartsWith("GMAP_PIC_", StringComparison.Ordinal))
            .ToDictionary(pair => StatusNames.GetValueOrDefault(pair.Key, pair.Key), pair => pair.Value);
        Assert.That(header.OrderBy(pair => pair.Key), Is.EqualTo(engine.OrderBy(pair => pair.Key)));
    }

    [Test]
    public void AnswersOfTheInlineHeaderAreNoGuestConditions()
    {
        foreach (string answer in InlineAnswers)
        {
            Assert.That(Inline[answer], Is.GreaterThan(0));
            Assert.That(Header.Where(pair => pair.Key.StartsWith("GMAP_PIC_", StringComparison.Ordinal)).Select(pair => pair.Value),
                Has.All.GreaterThan(Inline[answer]));
        }
    }

    [Test]
    public void EveryBitOfTheInlineHeaderIsTheEngines()
    {
        IEnumerable<KeyValuePair<string, ulong>> header = Inline
            .Where(pair => !InlineAnswers.Contains(pair.Key))
            .Select(pair => KeyValuePair.Create(pair.Key, unchecked((ulong)pair.Value)));
        Assert.That(header.OrderBy(pair => pair.Key), Is.EqualTo(InlineValues.OrderBy(pair => pair.Key)));
    }

    private static readonly TestCaseData[] Enumerations =
    [
        new("GMAP_ACCESS_", typeof(Access)),
        new("GMAP_REASON_", typeof(FaultReason)),
        new("GMAP_DONE_", typeof(FaultDone)),
        new("GMAP_HARVEST_", typeof(HarvestFlags)),
        new("GMAP_SPLIT_", typeof(SplitPolicy)),
        new("GMAP_LOG_", typeof(LogLevel)),
        new("GMAP_PROT_", typeof(Protection)),
        new("GMAP_NOTIFY_", typeof(NotifyFlags)),
    ];

    /// <summary>Both ways: GMAP_REASON_NO_SLOT is FaultReason.NoSlot.</summary>
    [TestCaseSource(nameof(Enumerations))]
    public void EveryValueOfAnEnumerationIsInBoth(string prefix, Type enumeration)
    {
        Dictionary<string, long> engine = Enum.GetNames(enumeration)
            .ToDictionary(name => name.ToUpperInvariant(), name => Convert.ToInt64(Enum.Parse(enumeration, name), null));
        Dictionary<string, long> header = Header
            .Where(pair => pair.Key.StartsWith(prefix, StringComparison.Ordinal))
            .ToDictionary(pair => pair.Key[prefix.Length..].Replace("_", "", StringComparison.Ordinal), pair => pair.Value);
        if (!header.ContainsKey("NONE"))
        {
            engine.Remove("NONE"); // no bit at all needs no name in C
        }

        Assert.That(header.OrderBy(pair => pair.Key), Is.EqualTo(engine.OrderBy(pair => pair.Key)));
    }

    [Test]
    public void FieldsOfAPgsteAreTheEngines()
    {
        Dictionary<string, ulong> engine = new()
        {
            ["GMAP_PGSTE_ACC"] = Pgste.AccessKeyMask,
            ["GMAP_PGSTE_FETCH"] = Pgste.FetchProtection,
            ["GMAP_PGSTE_LOCK"] = Pgste.Lock,
            ["GMAP_PGSTE_HOST_REF"] = Pgste.HostReferenced,
            ["GMAP_PGSTE_HOST_CHANGE"] = Pgste.HostChanged,
            ["GMAP_PGSTE_GUEST_REF"] = Pgste.GuestReferenced,
            ["GMAP_PGSTE_GUEST_CHANGE"] = Pgste.GuestChanged,
            ["GMAP_PGSTE_PROGRAM"] = Pgste.ProgramMask,
            ["GMAP_PGSTE_ZERO"] = Pgste.LogicallyZero,
            ["GMAP_PGSTE_NODAT"] = Pgste.NoDat,
            ["GMAP_PGSTE_USAGE"] = Pgste.UsageMask,
            ["GMAP_PGSTE_CMMA_DIRTY"] = Pgste.CmmaDirty,
            ["GMAP_PGSTE_NOTIFY"] = Pgste.NotifyMarker,
            ["GMAP_PGSTE_SHADOW"] = Pgste.ShadowMarker,
            ["GMAP_PGSTE_GUEST_MEMORY"] = Pgste.GuestMemory,
        };
        IEnumerable<KeyValuePair<string, ulong>> header = Header
            .Where(pair => pair.Key.StartsWith("GMAP_PGSTE_", StringComparison.Ordinal))
            .Select(pair => KeyValuePair.Create(pair.Key, unchecked((ulong)pair.Value)));
        Assert.That(header.OrderBy(pair => pair.Key), Is.EqualTo(engine.OrderBy(pair => pair.Key)));
    }

    [Test]
    public void SizesAreTheEngines()
    {
        Assert.That(Header["GMAP_PAGE_SIZE"], Is.EqualTo((long)GuestAddress.PageSize));
        Assert.That(Header["GMAP_SEGMENT_SIZE"], Is.EqualTo((long)GuestAddress.SegmentSize));
    }
}
