using System;
using GmapNative.Fuzz;

Options? options = Options.Parse(args);
if (options is null)
{
    Console.Error.WriteLine(Options.Usage);
    return 2;
}
if (options.Names)
{
    Console.WriteLine(string.Join('\n', new Library(options.Library).Names));
    return 0;
}
if (options.Replay is not null)
{
    return Fuzzer.Replay(options);
}
if (options.Child is not null)
{
    using var board = new Blackboard(options.Child);
    return Fuzzer.Run(options, board);
}
return options.Minimize is not null ? Supervisor.Minimize(options) : Supervisor.Run(options);
