using System.Runtime.InteropServices;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Image;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Shadow;

/// <summary>Shadows on the tables of tests/vectors: faults and translations find what outside machines found.</summary>
[TestFixture]
internal sealed unsafe class ShadowVectorTests
{
    [TestCase("linux-kernel", 4400, 2974)]
    [TestCase("random-101", 2385, 238)]
    [TestCase("random-102", 2381, 196)]
    [TestCase("random-103", 2363, 125)]
    [TestCase("random-104", 2379, 157)]
    public void Shadows_find_what_outside_machines_found(string name, int accesses, int translated)
    {
        var vectors = new TranslationVectors(name);
        using var memory = new GuestMemory(vectors.Size);
        using var root = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1, MostShadows = 8 });
        root.Set(new SlotRequest { Id = 1, Size = vectors.Size, HostAddress = memory.Start, LogDirty = true });
        vectors.CopyTo((page, bytes) => Marshal.Copy(bytes, 0, (nint)(memory.Start + page), bytes.Length));
        int found = 0;
        int seen = 0;
        ShadowSpace? shadow = null;
        View? view = null;
        foreach (TranslationRecord record in vectors.Records)
        {
            EdatLevel edat = record.Edat1 ? EdatLevel.One : EdatLevel.None;
            if (shadow is null || shadow.Asce.Value != record.Asce || shadow.Edat != edat)
            {
                Close(root, shadow, view);
                Assert.That(ShadowFamily.Open(root.Space, record.Asce, (uint)edat, out shadow), Is.Zero);
                Assert.That(shadow!.Asce.Significant, Is.EqualTo(new GuestAsce(record.Asce).Significant));
                nint words = root.Engine.Control.TryAllocate();
                view = new View(words, shadow.Space.Words, ViewWords.InlineVersion, root.Engine.ClosedSpace) { Vcpu = (ulong)words };
                shadow.Space.Epochs.Register(view);
            }
            Access access = record.Write ? Access.Write : Access.Read;
            int section = LibrarySections.Enter();
            int told = Translator.Translate(shadow.Space, record.Address, access, out FaultOutcome said);
            LibrarySections.Leave(section);
            view!.EnterCall();
            int code = shadow.Space.Faults.Resolve(view, record.Address, access, View.CurrentThread, out FaultOutcome outcome);
            view.LeaveCall();
            view.Leave();
            Assert.That((code, code == 0 ? outcome.HostAddress - memory.Start : 0), Is.EqualTo((record.Code, record.Real)), record.Line);
            Assert.That((told, told == 0 ? said.HostAddress - memory.Start : 0), Is.EqualTo((record.Code, record.Real)), record.Line);
            found += code == 0 ? 1 : 0;
            seen++;
        }
        Assert.That((seen, found), Is.EqualTo((accesses, translated)));
        root.Check();
        Close(root, shadow, view);
    }

    private static void Close(TestSpace root, ShadowSpace? shadow, View? view)
    {
        if (shadow is not null)
        {
            view!.Close(root.Engine.ClosedSpace);
            shadow.Space.Epochs.Unregister(view);
            Assert.That(shadow.Family.Close(shadow), Is.Zero);
        }
    }
}
