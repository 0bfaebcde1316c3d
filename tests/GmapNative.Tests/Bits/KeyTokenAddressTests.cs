using GmapNative.Bits;
using NUnit.Framework;
using static GmapNative.Tests.Bits.Words;

namespace GmapNative.Tests.Bits;

[TestFixture]
internal sealed class KeyTokenAddressTests
{
    [Test]
    public void EveryStorageKeyReadsBack()
    {
        for (int value = 0; value < 256; value++)
        {
            var key = new StorageKey((byte)value);
            Same(key.Access, value >> 4, (ulong)value, nameof(key.Access));
            Same(key.IsFetchProtected, (value & 8) != 0, (ulong)value, nameof(key.IsFetchProtected));
            Same(key.IsReferenced, (value & 4) != 0, (ulong)value, nameof(key.IsReferenced));
            Same(key.IsChanged, (value & 2) != 0, (ulong)value, nameof(key.IsChanged));
            StorageKey again = StorageKey.Of(key.Access, key.IsFetchProtected, key.IsReferenced, key.IsChanged);
            Same((int)again.Value, value & 0xFE, (ulong)value, nameof(StorageKey.Of));
        }
    }

    [Test]
    public void EveryTokenReadsBack()
    {
        for (int code = 0; code <= 0xFFFF; code++)
        {
            ulong hole = Token.Hole(code);
            Same(hole, 0x0001000000000000 | ((ulong)code << 32), (ulong)code, nameof(Token.Hole));
            Same(Token.ParameterOf(hole | 0xFFFFFFFF), code, hole, nameof(Token.ParameterOf));
            Same(Token.KindOf(hole | 0xFFFFFFFF), 1, hole, nameof(Token.KindOf));
            Same(Token.KindOf(((ulong)code << 48) | 0x0000FFFFFFFFFFFF), code, (ulong)code, nameof(Token.KindOf));
        }
    }

    [Test]
    public void EveryIndexOfEveryLevelComesFromItsBits()
    {
        for (uint index = 0; index < 2048; index++)
        {
            foreach (ulong around in (ulong[])[0, ulong.MaxValue])
            {
                Same(GuestAddress.RegionFirstIndex(Place(around, index, 53, 0x7FF)), (int)index, index, "RFX");
                Same(GuestAddress.RegionSecondIndex(Place(around, index, 42, 0x7FF)), (int)index, index, "RSX");
                Same(GuestAddress.RegionThirdIndex(Place(around, index, 31, 0x7FF)), (int)index, index, "RTX");
                Same(GuestAddress.SegmentIndex(Place(around, index, 20, 0x7FF)), (int)index, index, "SX");
                Same(GuestAddress.PageIndex(Place(around, index & 0xFF, 12, 0xFF)), (int)(index & 0xFF), index, "PX");
            }
        }
    }

    [Test]
    public void IndexesAndOffsetMakeUpTheAddress()
    {
        foreach (ulong address in PatternsOf(ulong.MaxValue))
        {
            ulong again = ((ulong)GuestAddress.RegionFirstIndex(address) << 53) | ((ulong)GuestAddress.RegionSecondIndex(address) << 42)
                | ((ulong)GuestAddress.RegionThirdIndex(address) << 31) | ((ulong)GuestAddress.SegmentIndex(address) << 20)
                | ((ulong)GuestAddress.PageIndex(address) << 12) | (address & 0xFFF);
            Same(again, address, address, "indexes");
            Same(GuestAddress.IsPageAligned(address), address % 4096 == 0, address, nameof(GuestAddress.IsPageAligned));
            Same(GuestAddress.SegmentBase(address), address - (address % 0x100000), address, nameof(GuestAddress.SegmentBase));
        }
    }

    private static ulong Place(ulong around, uint index, int shift, ulong field) =>
        (around & ~(field << shift)) | ((ulong)index << shift);
}
