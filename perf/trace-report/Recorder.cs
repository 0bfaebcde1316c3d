using System;
using System.Diagnostics.Tracing;
using System.IO;
using System.Threading.Tasks;
using Microsoft.Diagnostics.NETCore.Client;

namespace GmapNative.TraceReport;

/// <summary>Copies the event stream of a process into a file.</summary>
internal static class Recorder
{
    private const int BufferMebibytes = 64;

    public static void Record(int process, string file, int seconds, long keywords, int level)
    {
        // No rundown: it would tell of every method, and a NativeAOT runtime has none.
        var provider = new EventPipeProvider(TraceReader.Provider, (EventLevel)level, keywords);
        try
        {
            using EventPipeSession session = new DiagnosticsClient(process)
                .StartEventPipeSession([provider], requestRundown: false, circularBufferMB: BufferMebibytes);
            using FileStream output = File.Create(file);
            Task copy = session.EventStream.CopyToAsync(output);
            Console.WriteLine($"recording process {process} for {seconds} s");
            if (!copy.Wait(TimeSpan.FromSeconds(seconds)))
            {
                session.Stop();
                copy.Wait();
            }
            Console.WriteLine($"{file}: {output.Length} bytes");
        }
        catch (Exception failure) when (failure is DiagnosticsClientException or ServerNotAvailableException or TimeoutException)
        {
            throw new ReportException($"process {process} does not answer: {failure.Message} (does it run libgmapnative-trace.so?)");
        }
        catch (AggregateException failure) when (failure.InnerException is IOException)
        {
            throw new ReportException($"the recording of process {process} broke off: {failure.InnerException.Message}");
        }
    }
}
