using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>Where the frames of an image are: host frames of the live tables become real addresses.</summary>
internal interface IFrameMap
{
    /// <summary>The real address for the page or segment at a guest address that is mapped to a host frame. A status.</summary>
    int Translate(ulong guestAddress, ulong hostFrame, out ulong real);
}

/// <summary>
/// Writes the tables of a space as a machine would have them in real storage: big-endian, origins relocated. The top table
/// first, level by level down to the segment tables (16 KB each), then the page tables (2 KB each,
/// or 4 KB with PGSTEs). Under the configuration lock, so that no table is freed
/// meanwhile; vcpus go on: every entry is read once, and the decision taken on it.
/// </summary>
internal ref struct ImageWriter
{
    private const int TableBytes = GuestAddress.TableEntries * sizeof(ulong);
    private const ulong MomentsBits = SegmentEntry.LockBit | SegmentEntry.FrozenBit | SegmentEntry.Protect; // somebody is at it (rule 20)

    /// <summary>A live table, and the first address that it serves.</summary>
    private readonly record struct Part(ulong Origin, ulong Start);

    private readonly Span<byte> _image;
    private readonly ulong _base;
    private readonly IFrameMap _frames;
    private readonly PageTablePool _pageTables;
    private readonly bool _clearSoftware;
    private ulong _nextPageTable;
    private int _status;

    /// <param name="image">Receives the bytes from <paramref name="realBase"/> on; what does not fit is only counted.</param>
    /// <param name="realBase">A multiple of 16 KB.</param>
    /// <param name="frames">Translates frames.</param>
    /// <param name="pageTables">Their format.</param>
    /// <param name="clearSoftware">Whether software bits and tokens go.</param>
    public ImageWriter(Span<byte> image, ulong realBase, IFrameMap frames, PageTablePool pageTables, bool clearSoftware)
    {
        _image = image;
        _base = realBase;
        _frames = frames;
        _pageTables = pageTables;
        _clearSoftware = clearSoftware;
        _nextPageTable = 0;
        _status = Status.Ok;
    }

    /// <summary>Writes all; <paramref name="bytes"/> is what the image has, or would have.</summary>
    public int Write(Asce live, out Asce asce, out ulong bytes)
    {
        asce = live.WithOrigin(_base);
        ulong at = 0;
        List<Part> level = [new Part(live.Origin, 0)];
        for (TableType type = live.Type; type != TableType.Segment; type--)
        {
            level = WriteRegionTables(type, level, ref at);
        }
        _nextPageTable = at + ((ulong)level.Count * TableBytes);
        foreach (Part part in level)
        {
            WriteSegmentTable(new SegmentTable(part.Origin), at, part.Start);
            at += TableBytes;
        }
        bytes = _nextPageTable;
        return _status;
    }

    /// <summary>All tables of a level, from <paramref name="at"/> on; those of the next, which follow them.</summary>
    private List<Part> WriteRegionTables(TableType type, List<Part> tables, ref ulong at)
    {
        List<Part> below = [];
        ulong next = at + ((ulong)tables.Count * TableBytes);
        foreach (Part part in tables)
        {
            var table = new RegionTable(part.Origin, type);
            for (int i = 0; i < GuestAddress.TableEntries; i++)
            {
                RegionEntry entry = table.Load(i);
                ulong start = part.Start + ((ulong)i << GuestAddress.ShiftOf(type));
                ulong value = entry.IsLeaf ? ImageOf(entry, start)
                    : entry.IsInvalid && _clearSoftware ? RegionEntry.Empty(type).Value : entry.Value;
                if (entry.IsTable)
                {
                    value = entry.WithOrigin(_base + next).Value;
                    below.Add(new Part(entry.Origin, start));
                    next += TableBytes;
                }
                Put(at + ((ulong)i * sizeof(ulong)), value);
            }
            at += TableBytes;
        }
        return below;
    }

    private void WriteSegmentTable(SegmentTable table, ulong at, ulong regionBase)
    {
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            ulong segment = regionBase + ((ulong)i << GuestAddress.SegmentShift);
            Put(at + ((ulong)i * sizeof(ulong)), ImageOf(table.Cell(i).Load(), segment));
        }
    }

    /// <summary>A 2 GB leaf.</summary>
    private ulong ImageOf(RegionEntry entry, ulong region)
    {
        if (entry.IsAged && _clearSoftware)
        {
            return RegionEntry.Empty(TableType.RegionThird).Value;
        }
        ulong real = RealOf(region, entry.Frame);
        _status = (real & ~RegionEntry.FrameMask) != 0 && _status == Status.Ok ? Status.Invalid : _status;
        ulong leaf = (entry.Value & ~RegionEntry.FrameMask) | (real & RegionEntry.FrameMask);
        return _clearSoftware ? leaf & RegionEntry.LeafHardwareMask : leaf;
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
        _nextPageTable += (ulong)_pageTables.Bytes;
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
            if (_pageTables.HasPgstes)
            {
                ulong pgste = table.LoadPgste(i).Value;
                Put(at + PageTable.PgsteOffset + ((ulong)i * sizeof(ulong)), _clearSoftware ? pgste & Pgste.HardwareMask : pgste);
            }
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
