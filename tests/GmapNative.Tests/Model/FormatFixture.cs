using NUnit.Framework;

namespace GmapNative.Tests.Model;

/// <summary>
/// A fixture that runs for page tables of 2 KB and again for those with PGSTEs: what it asserts does not depend on the format. Fixtures
/// run one after the other.
/// </summary>
public abstract class FormatFixture(bool pgstes)
{
    private protected bool UsesPgstes => pgstes;

    [OneTimeSetUp]
    public void UseFormat() => TestSpace.WithPgstes = pgstes;

    [OneTimeTearDown]
    public void UseUsualFormat() => TestSpace.WithPgstes = false;
}
