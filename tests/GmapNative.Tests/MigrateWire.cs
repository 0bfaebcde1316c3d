using System;
using System.Buffers.Binary;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Numerics;
using System.Threading.Tasks;

namespace GmapNative.Tests;

/// <summary>The types of native-exports/hosts/migrate/stream.h.</summary>
internal enum FrameType
{
    Hello = 1,
    Accept,
    Pages,
    Zero,
    RoundEnd,
    RoundAck,
    Verify,
    Digests,
    Run,
    Working,
    Verdict,
    Bye,
    Refused,
    State,
    Postcopy,
    Want,
    Arrived,
    AllSent,
    Blocked,
    Resume,
    Missing,
}

/// <summary>The head of a frame, 32 bytes.</summary>
internal readonly record struct FrameHead(FrameType Type, long First, long Count, long Length)
{
    public const int Size = 32;

    public static FrameHead Read(ReadOnlySpan<byte> bytes)
    {
        if (!bytes[..4].SequenceEqual("MIGM"u8))
        {
            throw new InvalidDataException("no frame where one must begin");
        }

        return new FrameHead(
            (FrameType)BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]),
            BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(bytes[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(bytes[24..]));
    }
}

/// <summary>Frames of gmap-migrate's protocol, right and wrong ones.</summary>
internal static class MigrateWire
{
    public const int Page = 4096;
    public const long Memory = 32 << 20;
    public const long MemoryPages = Memory / Page;
    public const long Session = 4711;

    private const long Partition = 4 << 20;

    public static byte[] Frame(FrameType type, long first = 0, long count = 0, byte[]? payload = null, long? length = null)
    {
        byte[] frame = new byte[FrameHead.Size + (payload?.Length ?? 0)];
        "MIGM"u8.CopyTo(frame);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(4), (int)type);
        BinaryPrimitives.WriteInt64LittleEndian(frame.AsSpan(8), first);
        BinaryPrimitives.WriteInt64LittleEndian(frame.AsSpan(16), count);
        BinaryPrimitives.WriteInt64LittleEndian(frame.AsSpan(24), length ?? payload?.Length ?? 0);
        payload?.CopyTo(frame, FrameHead.Size);
        return frame;
    }

    public static byte[] HelloFrame(long memory = Memory, int guest = 1, int policy = 0)
    {
        byte[] payload = new byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(payload, memory);
        BinaryPrimitives.WriteInt32LittleEndian(payload.AsSpan(8), guest);
        BinaryPrimitives.WriteInt32LittleEndian(payload.AsSpan(12), policy);
        return Frame(FrameType.Hello, 1, 0, payload);
    }

    /// <summary>Page 0 of a threads guest of one thread, with so many steps to make.</summary>
    public static byte[] FirstPage(long steps = 0)
    {
        byte[] page = new byte[Page];
        long[] header = [0x31545345554750, 1, Memory, 1, Partition, steps, 1, 0, 0, Memory, 0, 0];
        Buffer.BlockCopy(header, 0, page, 0, header.Length * 8);
        return page;
    }

    /// <summary>Pages with their digests.</summary>
    public static byte[] PagesFrame(long first, params byte[][] pages)
    {
        byte[] digests = [.. pages.SelectMany(page => BitConverter.GetBytes(Digest(page)))];
        return Frame(FrameType.Pages, first, pages.Length, [.. pages.SelectMany(page => page), .. digests]);
    }

    /// <summary>A bit for each page but page 0.</summary>
    public static byte[] AllButTheFirst()
    {
        byte[] bitmap = new byte[MemoryPages / 8];
        Array.Fill(bitmap, (byte)0xFF);
        bitmap[0] = 0xFE;
        return bitmap;
    }

    public static byte[] PostcopyFrame(long session = Session) => Frame(FrameType.Postcopy, session, MemoryPages - 1, AllButTheFirst());

    /// <summary>The guest is theirs; its answer, of a partition that is all zero, is known.</summary>
    public static byte[] RunFrame()
    {
        ulong sum = Partition, zero = Digest(new byte[Page]);
        for (long page = 0; page < Partition / Page; page++)
        {
            sum = Turn(sum, zero);
        }

        byte[] handover = new byte[24];
        BinaryPrimitives.WriteUInt64LittleEndian(handover, Mix(Mix(sum)));
        return Frame(FrameType.Run, 0, 0, handover);
    }

    private static ulong Digest(byte[] page)
    {
        ulong[] lanes = [1, 2, 3, 4];
        for (int at = 0; at < page.Length; at += 8)
        {
            lanes[at / 8 % 4] = Turn(lanes[at / 8 % 4], BitConverter.ToUInt64(page, at));
        }

        return Mix(Turn(Turn(Turn(lanes[0], lanes[1]), lanes[2]), lanes[3]));
    }

    private static ulong Turn(ulong lane, ulong word) => BitOperations.RotateLeft((lane ^ word) * 0x9E3779B97F4A7C15, 29);

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}

/// <summary>One end of a connection that says whatever a test wants.</summary>
internal sealed class WirePeer(Socket socket) : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    /// <summary>How many WORKING frames were passed over.</summary>
    public int Working { get; private set; }

    /// <summary>To a program that listens on a socket file, as soon as it does.</summary>
    public static async Task<WirePeer> Connect(string path)
    {
        for (DateTime end = DateTime.UtcNow + s_patience; ;)
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
                return new WirePeer(socket);
            }
            catch (SocketException) when (DateTime.UtcNow < end)
            {
                socket.Dispose();
                await Task.Delay(10);
            }
        }
    }

    /// <summary>As much as the peer takes: one that finds a mistake does not wait for the rest.</summary>
    public async Task Send(params byte[][] frames)
    {
        try
        {
            foreach (byte[] frame in frames)
            {
                await socket.SendAsync(frame).WaitAsync(s_patience);
            }
        }
        catch (SocketException)
        {
        }
    }

    /// <summary>The next frame but WORKING; null at the end of the connection.</summary>
    public async Task<(FrameHead Head, byte[] Payload)?> Receive()
    {
        while (await Bytes(FrameHead.Size) is { } bytes)
        {
            FrameHead head = FrameHead.Read(bytes);
            byte[]? payload = await Bytes((int)head.Length);
            if (payload is null || head.Type != FrameType.Working)
            {
                return payload is null ? null : (head, payload);
            }

            Working++;
        }

        return null;
    }

    /// <summary>Passes over frames up to one of this type.</summary>
    public async Task<(FrameHead Head, byte[] Payload)> Await(FrameType type)
    {
        while (await Receive() is { } frame)
        {
            if (frame.Head.Type == type)
            {
                return frame;
            }
        }

        throw new InvalidOperationException($"the connection ended before {type}");
    }

    /// <summary>Whether the peer ends the connection, whatever it says before.</summary>
    public async Task<bool> Ends()
    {
        while (await Receive() is not null)
        {
        }

        return true;
    }

    private async Task<byte[]?> Bytes(int count)
    {
        byte[] bytes = new byte[count];
        for (int done = 0; done < count;)
        {
            int n;
            try
            {
                n = await socket.ReceiveAsync(bytes.AsMemory(done)).AsTask().WaitAsync(s_patience);
            }
            catch (SocketException)
            {
                return null;
            }

            if (n == 0)
            {
                return null;
            }

            done += n;
        }

        return bytes;
    }

    public void Dispose() => socket.Dispose();
}
