using System;
using System.Buffers.Binary;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>Where the frames of an image are: host frames of the live tables become real addresses.</summary>
internal interface IFrameMap
{
    /// <summary>The real address for the page or segment at a guest address that is mapped to a host frame. A status.</summary>
    int Translate(ulong guestAddress, ulong hostFrame, out ulong real);
}

/// <summary>
/// Writes the tables of a space as a machine would have them in real storage: big-endian, origins relocated. Region-third table
/// first, then the segment tables (16 KB each), then the page tables (2 KB each). Under the configuration lock, so that no table is freed
/// meanwhile; vcpus go on: every entry is read once, and the decision taken on it.
/// </summary>
internal ref struct ImageWriter
{
    private const int TableBytes = GuestAddress.TableEntries * sizeof(ulong);
    private const ulong MomentsBits = SegmentEntry.LockBit | SegmentEntry.FrozenBit | SegmentEntry.Protect; // somebody is at it (rule 20)
    private const int PageTableBytes = GuestAddress.PageTableEntries * sizeof(ulong);

    private readonly Span<byte> _image;
    private readonly ulong _base;
    private readonly IFrameMap _frames;
    private readonly bool _clearSoftware;
    private ulong _nextPageTable;
    private int _status;

    /// <param name="image">Receives the bytes from <paramref name="realBase"/> on; what does not fit is only counted.</param>
    /// <param name="realBase">A multiple of 16 KB.</param>
    /// <param name="frames">Translates frames.</param>
    /// <param name="clearSoftware">Whether software bits and tokens go.</param>
    public ImageWriter(Span<byte> image, ulong realBase, IFrameMap frames, bool clearSoftware)
    {
        _image = image;
        _base = realBase;
        _frames = frames;
        _clearSoftware = clearSoftware;
        _nextPageTable = 0;
        _status = Status.Ok;
    }

    /// <summary>Writes all; <paramref name="bytes"/> is what the image has, or would have.</summary>
    public int Write(Asce live, out Asce asce, out ulong bytes)
    {
        asce = live.WithOrigin(_base);
        if (live.Type == TableType.Segment)
        {
            _nextPageTable = TableBytes;
            WriteSegmentTable(new SegmentTable(live.Origin), 0, 0);
        }
        else
        {
            WriteRegionTable(new RegionTable(live.Origin));
        }
        bytes = _nextPageTable;
        return _status;
    }

    private void WriteRegionTable(RegionTable table)
    {
        Span<ulong> origins = new ulong[GuestAddress.TableEntries];
        ulong next = TableBytes;
        for (int i = 0; i < origins.Length; i++)
        {
            RegionEntry entry = table.Load(i);
            origins[i] = entry.IsTable ? entry.Origin : 0;
            ulong value = entry.IsInvalid && _clearSoftware ? RegionEntry.Empty(TableType.RegionThird).Value : entry.Value;
            Put((ulong)i * sizeof(ulong), entry.IsTable ? entry.WithOrigin(_base + next).Value : value);
            next += entry.IsTable ? TableBytes : 0u;
        }
        _nextPageTable = next;
        ulong at = TableBytes;
        for (int i = 0; i < origins.Length; i++)
        {
            if (origins[i] != 0)
            {
                WriteSegmentTable(new SegmentTable(origins[i]), at, (ulong)i << GuestAddress.RegionThirdShift);
                at += TableBytes;
            }
        }
    }

    private void WriteSegmentTable(SegmentTable table, ulong at, ulong regionBase)
    {
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            ulong segment = regionBase + ((ulong)i << GuestAddress.SegmentShift);
            Put(at + ((ulong)i * sizeof(ulong)), ImageOf(table.Cell(i).Load(), segment));
        }
    }

    private ulong ImageOf(SegmentEntry entry, ulong segment)
    {
        if (entry.IsInvalid && (_clearSoftware || !entry.IsAged))
        {
            return _clearSoftware ? SegmentEntry.Empty.Value : entry.Value;
        }
        if (entry.IsLeaf)
        {
            ulong real = RealOf(segment, entry.Frame);
            _status = (real & ~SegmentEntry.FrameMask) != 0 && _status == Status.Ok ? Status.Invalid : _status;
            ulong leaf = (entry.Value & ~SegmentEntry.FrameMask) | (real & SegmentEntry.FrameMask);
            return _clearSoftware ? leaf & SegmentEntry.LeafHardwareMask : leaf;
        }
        ulong origin = _nextPageTable;
        _nextPageTable += PageTableBytes;
        WritePageTable(new PageTable(entry.TableOrigin), origin, segment);
        ulong designation = (entry.Value & ~(SegmentEntry.TableOriginMask | MomentsBits)) | (_base + origin);
        return _clearSoftware ? designation & SegmentEntry.TableHardwareMask : designation;
    }

    private void WritePageTable(PageTable table, ulong at, ulong segment)
    {
        for (int i = 0; i < GuestAddress.PageTableEntries; i++)
        {
            PageEntry entry = table.Load(i);
            ulong value = entry.Value;
            if (!entry.IsInvalid || (entry.IsAged && !_clearSoftware))
            {
                value = (value & ~PageEntry.FrameMask) | RealOf(segment + ((ulong)i << GuestAddress.PageShift), entry.Frame);
            }
            else if (_clearSoftware)
            {
                value = PageEntry.Empty.Value;
            }
            Put(at + ((ulong)i * sizeof(ulong)), _clearSoftware ? value & PageEntry.HardwareMask : value);
        }
    }

    private ulong RealOf(ulong guestAddress, ulong hostFrame)
    {
        int status = _frames.Translate(guestAddress, hostFrame, out ulong real);
        _status = _status == Status.Ok ? status : _status;
        return real;
    }

    private readonly void Put(ulong offset, ulong value)
    {
        if (offset + sizeof(ulong) <= (ulong)_image.Length)
        {
            BinaryPrimitives.WriteUInt64BigEndian(_image[(int)offset..], value);
        }
    }
}
