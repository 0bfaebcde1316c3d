using System;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.IO;
using System.Net.Sockets;
using System.Threading.Tasks;

namespace GmapNative.Tests;

/// <summary>What is done to a connection at a frame.</summary>
internal enum MigrateDamage
{
    Close,
    CloseInTheMiddle,
    Stall,
    StallInTheMiddle,
}

/// <summary>At which frame, counted by its type in its direction over one connection.</summary>
internal sealed record MigrateCut(bool FromSource, FrameType Type, int Nth, MigrateDamage Damage)
{
    public bool Stalls => Damage is MigrateDamage.Stall or MigrateDamage.StallInTheMiddle;

    public override string ToString() => $"{Damage} at {Type} {Nth}";
}

/// <summary>
/// Between a source and a destination, on two socket files: knows frames by their heads, and closes or stalls one connection at one
/// of them. The connections after it are passed on, or have a cut of their own.
/// </summary>
internal sealed class MigrateProxy : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly ConcurrentBag<Socket> _sockets = [];
    private readonly TaskCompletionSource _damaged = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly string _to;

    public MigrateProxy(string path, string to)
    {
        _to = to;
        _listener.Bind(new UnixDomainSocketEndPoint(path));
        _listener.Listen();
        _ = Accept();
    }

    public MigrateCut? Cut { get; set; }

    /// <summary>Of the connections after the first damage, one after the other.</summary>
    public ConcurrentQueue<MigrateCut> Later { get; } = new();

    /// <summary>Before the nth connection is made to the destination (which is then waited for).</summary>
    public Func<int, Task> MayConnect { get; set; } = _ => Task.CompletedTask;

    /// <summary>About so many bytes a second, in pieces of one byte to some KB; 0: as they come.</summary>
    public int Slow { get; init; }

    /// <summary>Bytes of the largest piece.</summary>
    public int Piece { get; init; } = 1 << 16;

    public Task Damaged => _damaged.Task;

    private async Task Accept()
    {
        try
        {
            for (int n = 1; ; n++)
            {
                Socket source = await _listener.AcceptAsync();
                _sockets.Add(source);
                await MayConnect(n);
                if (await ToDestination() is { } destination)
                {
                    MigrateCut? cut = n == 1 ? Cut : Later.TryDequeue(out MigrateCut? later) ? later : null;
                    Connection connection = new(this, source, destination, cut);
                    _ = connection.Pump(fromSource: true);
                    _ = connection.Pump(fromSource: false);
                }
                else
                {
                    source.Dispose();
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task<Socket?> ToDestination()
    {
        for (int tries = 0; tries < 500; tries++)
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(_to));
                _sockets.Add(socket);
                return socket;
            }
            catch (SocketException)
            {
                socket.Dispose();
                await Task.Delay(10);
            }
        }

        return null;
    }

    public void Dispose()
    {
        _listener.Dispose();
        foreach (Socket socket in _sockets)
        {
            socket.Dispose();
        }
    }

    private sealed class Connection(MigrateProxy proxy, Socket source, Socket destination, MigrateCut? cut)
    {
        private readonly Random _random = new(1);
        private volatile bool _over;
        private readonly Stopwatch _clock = Stopwatch.StartNew();
        private long _passed; // in both directions; a guess will do
        private int _seen;

        public async Task Pump(bool fromSource)
        {
            (Socket from, Socket to) = fromSource ? (source, destination) : (destination, source);
            try
            {
                await PumpFrames(from, to, fromSource);
                if (!_over)
                {
                    to.Shutdown(SocketShutdown.Send); // what is under way in the other direction may still come
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or InvalidDataException)
            {
                if (!_over)
                {
                    source.Dispose();
                    destination.Dispose();
                }
            }
        }

        private async Task PumpFrames(Socket from, Socket to, bool fromSource)
        {
            byte[] buffer = new byte[1 << 16];
            while (await Read(from, buffer.AsMemory(0, FrameHead.Size)) && !_over)
            {
                FrameHead head = FrameHead.Read(buffer);
                if (cut is not null && fromSource == cut.FromSource && head.Type == cut.Type && ++_seen == cut.Nth)
                {
                    await Damage(from, to, buffer, head);
                    return;
                }

                await Write(to, buffer.AsMemory(0, FrameHead.Size));
                await Pass(from, to, buffer, head.Length);
            }
        }

        private async Task Damage(Socket from, Socket to, byte[] buffer, FrameHead head)
        {
            _over = true;
            if (cut!.Damage is MigrateDamage.CloseInTheMiddle or MigrateDamage.StallInTheMiddle)
            {
                await Write(to, buffer.AsMemory(0, head.Length == 0 ? FrameHead.Size / 2 : FrameHead.Size));
                await Pass(from, to, buffer, head.Length / 2);
            }

            if (!cut.Stalls)
            {
                source.Dispose();
                destination.Dispose();
            }

            proxy._damaged.TrySetResult();
        }

        private async Task Pass(Socket from, Socket to, byte[] buffer, long length)
        {
            while (length > 0)
            {
                Memory<byte> piece = buffer.AsMemory(0, (int)Math.Min(length, buffer.Length));
                if (!await Read(from, piece))
                {
                    throw new InvalidDataException("the connection ended in a frame");
                }

                await Write(to, piece);
                length -= piece.Length;
            }
        }

        private static async Task<bool> Read(Socket from, Memory<byte> bytes)
        {
            while (bytes.Length > 0)
            {
                int n = await from.ReceiveAsync(bytes);
                if (n == 0)
                {
                    return false;
                }

                bytes = bytes[n..];
            }

            return true;
        }

        private async Task Write(Socket to, ReadOnlyMemory<byte> bytes)
        {
            while (bytes.Length > 0)
            {
                int piece = proxy.Slow == 0 ? bytes.Length : Math.Min(bytes.Length, Next(proxy.Piece));
                int n = await to.SendAsync(bytes[..piece]);
                bytes = bytes[n..];
                long ahead = proxy.Slow == 0 ? 0 : ((_passed += n) * 1000L / proxy.Slow) - _clock.ElapsedMilliseconds;
                if (ahead > 0)
                {
                    await Task.Delay((int)ahead);
                }
            }
        }

        /// <summary>A size, small ones as often as large ones.</summary>
        private int Next(int most)
        {
            lock (_random)
            {
                return 1 << _random.Next(BitLength(most));
            }
        }

        private static int BitLength(int value) => 32 - int.LeadingZeroCount(value);
    }
}
