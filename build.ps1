#!/usr/bin/env pwsh
# The verbs of build.sh for PowerShell. The library and its hosts are built for Linux by gcc, so off Linux this checks the SDK,
# builds the managed parts and formats; what needs the shared library (build's C part, test, demo), or spin (model), runs under
# WSL or on Linux.
param(
    [Parameter(Position = 0)][string] $Verb = 'help',
    [Parameter(Position = 1, ValueFromRemainingArguments)][string[]] $Options = @()
)
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot
$env:DOTNET_CLI_TELEMETRY_OPTOUT = '1'
$env:DOTNET_NOLOGO = '1'
$Verbs = 'setup', 'build', 'trace', 'test', 'model', 'litmus', 'fuzz', 'demo', 'perf', 'bench', 'compare', 'v4', 'reclaim', 'format', 'clean', 'help'

function Invoke-Tool([string] $Program, [string[]] $Arguments) {
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

function Invoke-Setup {
    if (-not (Get-Command dotnet -ErrorAction SilentlyContinue)) { throw 'the .NET SDK 10 is missing' }
    $version = & dotnet --version
    if ($LASTEXITCODE -ne 0 -or [int]($version -split '\.')[0] -lt 10) { throw "the .NET SDK 10 is needed; here is $version" }
    Write-Host '==> restoring NuGet packages'
    Invoke-Tool dotnet @('restore', 'GmapNative.sln', '-v', 'quiet')
}

# What must run on Linux: hand it to build.sh there, or to build.sh in WSL.
function Invoke-OnLinux {
    if ($IsLinux) { Invoke-Tool bash (@('./build.sh', $Verb) + $Options) }
    elseif (Get-Command wsl -ErrorAction SilentlyContinue) { Invoke-Tool wsl (@('./build.sh', $Verb) + $Options) }
    else { throw "$Verb needs Linux with gcc: the library is an ELF shared library. Install WSL, or run ./build.sh on Linux" }
}

if ($Verb -notin $Verbs) { throw "no such verb: $Verb (there are: $($Verbs -join ', '))" }
switch ($Verb) {
    'setup' { if ($IsLinux) { Invoke-OnLinux } else { Invoke-Setup } }
    'build' {
        if ($IsLinux) { Invoke-OnLinux }
        else {
            Invoke-Setup
            Write-Host '==> building the managed parts'
            Invoke-Tool dotnet @('build', 'GmapNative.sln', '-c', 'Release', '-v', 'quiet', '--no-restore')
            Invoke-OnLinux
        }
    }
    'trace' { Invoke-OnLinux }
    'test' { Invoke-OnLinux }
    'model' { Invoke-OnLinux }
    'fuzz' { Invoke-OnLinux }
    'demo' { Invoke-OnLinux }
    'litmus' { Invoke-OnLinux }
    'perf' { Invoke-OnLinux }
    'bench' { Invoke-OnLinux }
    'compare' { Invoke-OnLinux }
    'v4' { Invoke-OnLinux }
    'reclaim' { Invoke-OnLinux }
    'format' {
        if ($IsLinux) { Invoke-OnLinux }
        else {
            Invoke-Setup
            $check = if ($Options -contains '--check') { @('--verify-no-changes') } else { @() }
            Invoke-Tool dotnet (@('format', 'GmapNative.sln', '--severity', 'warn', '--no-restore') + $check)
        }
    }
    'clean' {
        foreach ($folder in 'artifacts') { if (Test-Path $folder) { Remove-Item -Recurse -Force $folder } }
        Get-ChildItem src, native-exports, tests -Recurse -Directory -Include bin, obj | Remove-Item -Recurse -Force
    }
    'help' {
        Write-Host 'usage: ./build.ps1 VERB [OPTIONS]'
        Write-Host "verbs: $($Verbs -join ', '), as ./build.sh help tells them"
    }
}
