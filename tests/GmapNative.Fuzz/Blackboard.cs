using System;
using System.IO;
using System.IO.MemoryMappedFiles;

namespace GmapNative.Fuzz;

/// <summary>A mapped file in which a child says what it runs, before it runs it: a crash loses nothing.</summary>
internal sealed class Blackboard : IDisposable
{
    private const int HeaderBytes = 64;
    private const int MostBytes = 1 << 16;

    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;

    public Blackboard(string path)
    {
        _file = MemoryMappedFile.CreateFromFile(path, FileMode.OpenOrCreate, null, HeaderBytes + MostBytes);
        _view = _file.CreateViewAccessor();
    }

    public long Programs
    {
        get => _view.ReadInt64(0);
        set => _view.Write(0, value);
    }

    public long Operations
    {
        get => _view.ReadInt64(8);
        set => _view.Write(8, value);
    }

    public long Keys
    {
        get => _view.ReadInt64(16);
        set => _view.Write(16, value);
    }

    public byte[] Program
    {
        get
        {
            byte[] program = new byte[_view.ReadInt32(24)];
            _view.ReadArray(HeaderBytes, program, 0, program.Length);
            return program;
        }

        set
        {
            _view.Write(24, value.Length);
            _view.WriteArray(HeaderBytes, value, 0, value.Length);
        }
    }

    public void Dispose()
    {
        _view.Dispose();
        _file.Dispose();
    }
}
