using System;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>Views, changed under a lock and read without one.</summary>
internal sealed class ViewList
{
    private readonly Lock _gate = new();
    private View[] _views = [];

    /// <summary>As they are now; the array never changes.</summary>
    public View[] All => Volatile.Read(ref _views);

    public void Add(View view)
    {
        lock (_gate)
        {
            Volatile.Write(ref _views, [.. _views, view]);
        }
    }

    public void Remove(View view) => RemoveAll(other => other == view);

    public void RemoveAll(Predicate<View> which)
    {
        lock (_gate)
        {
            Volatile.Write(ref _views, Array.FindAll(_views, view => !which(view)));
        }
    }
}
