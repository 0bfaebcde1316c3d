using System.Collections.Generic;
using System.IO;
using System.Linq;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Exporters.Json;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using BenchmarkDotNet.Toolchains.NativeAot;
using Perfolizer.Horology;

namespace GmapNative.Benchmarks;

/// <summary>
/// The engine's managed parts, compiled at run time and ahead of time: for the processor that every library must run on, and with
/// AVX2. All of BenchmarkDotNet's options are taken; --quick measures less, --jit and --aot take one job. `./build.sh bench` runs it.
/// </summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        bool quick = args.Contains("--quick");
        bool aotOnly = args.Contains("--aot");
        bool jitOnly = !aotOnly && (quick || args.Contains("--jit"));
        string[] others = [.. args.Where(arg => arg is not ("--quick" or "--jit" or "--aot"))];
        IConfig config = ManualConfig.CreateEmpty()
            .AddColumnProvider(DefaultColumnProviders.Instance)
            .AddLogger(ConsoleLogger.Default)
            .AddExporter(JsonExporter.FullCompressed)
            .AddDiagnoser(MemoryDiagnoser.Default)
            .WithOptions(ConfigOptions.JoinSummary | ConfigOptions.DisableParallelBuild) // each of them takes all processors
            .WithBuildTimeout(System.TimeSpan.FromMinutes(20)) // the compiler takes all of BenchmarkDotNet with it
            .AddJob([.. Jobs(quick).Where(job => jitOnly ? job.Id == "JIT" : !aotOnly || job.Id == "NativeAOT")]);
        return BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(others, config).Any(Failed) ? 1 : 0;
    }

    private static bool Failed(BenchmarkDotNet.Reports.Summary summary) =>
        summary.HasCriticalValidationErrors || summary.Reports.Any(report => !report.Success);

    private static IEnumerable<Job> Jobs(bool quick)
    {
        Job job = Job.Default
            .WithIterationTime(TimeInterval.FromMilliseconds(quick ? 30 : 80))
            .WithWarmupCount(quick ? 4 : 6)
            .WithIterationCount(quick ? 3 : 7);
        // In this process: nothing is built for it.
        yield return job.WithToolchain(InProcessEmitToolchain.Instance).WithId("JIT");
        yield return Ahead(job, "", "NativeAOT").AsBaseline();
        yield return Ahead(job, "x86-64-v3", "NativeAOT-v3");
    }

    private static Job Ahead(Job job, string instructions, string name)
    {
        string targets = Path.Combine(System.AppContext.BaseDirectory, "Generated.targets");
        var toolchain = NativeAotToolchain.CreateBuilder()
            .UseNuGet("", System.AppContext.BaseDirectory) // the compiler of this SDK, from where it always comes; no further feed
            .IlcInstructionSet(instructions)
            .IlcGenerateStackTraceData(false)
            .UseNuGetClearTag(false)
            .TargetFrameworkMoniker("net10.0")
            .ToToolchain();
        return job.WithToolchain(toolchain).WithId(name)
            .WithArguments(
            [
                new MsBuildArgument($"/p:CustomAfterMicrosoftCommonTargets={targets}"),
                new MsBuildArgument("/p:RunAnalyzers=false"), // they have seen these sources when this program was built
                new MsBuildArgument("/p:EnforceCodeStyleInBuild=false"),
            ]);
    }
}
