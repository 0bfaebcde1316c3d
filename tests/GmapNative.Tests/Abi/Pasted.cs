using System;
using System.IO;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>A program out of a document, in a folder of its own.</summary>
internal static class Pasted
{
    /// <summary>Compiles and runs a program in C, which must end with 0 and print this; 77 is skipped, with what it says.</summary>
    public static void CheckC(string code, string output) => In("program.c", code, source =>
    {
        Repository.RequireLibrary();
        return NativeHost.Run(NativeHost.Compile(source, Flavour.Plain), [], TimeSpan.FromMinutes(1), []);
    }, output);

    /// <summary>The same of a program that <paramref name="run"/> is to run.</summary>
    public static void In(string name, string code, Func<string, (int Exit, string Output)> run, string output)
    {
        string folder = Directory.CreateTempSubdirectory("gmap-pasted").FullName;
        try
        {
            string source = Path.Combine(folder, name);
            File.WriteAllText(source, code);
            (int exit, string found) = run(source);
            if (exit == NativeHost.SkippedExit)
            {
                NativeHost.Skip(found.Trim());
            }

            Assert.That(exit, Is.Zero, found);
            Assert.That(found.TrimEnd(), Is.EqualTo(output.TrimEnd()));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
