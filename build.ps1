#!/usr/bin/env pwsh
# Builds, runs, tests and packs ElmNative. build.sh has the same verbs.
param(
    [Parameter(Position = 0)] [string] $Verb = '--help',
    [Parameter(ValueFromRemainingArguments = $true)] [string[]] $Rest = @()
)
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot
$env:DOTNET_CLI_TELEMETRY_OPTOUT = '1'
$env:DOTNET_NOLOGO = '1'
$Windows = $IsWindows -or $env:OS -eq 'Windows_NT'
$Program = if ($Windows) { 'out/dotnet/bin/ElmNative.Cli/release/elmn.exe' } else { 'out/dotnet/bin/ElmNative.Cli/release/elmn' }
$Runtime = if ($Windows) { 'win-x64' } else { 'linux-x64' }

function Show-Usage {
    @'
./build.ps1 VERB [ARGUMENTS]

  build    compile everything
  run      build, then the main job: the online protocol on the bundled model (arguments go to `elmn stream`)
  test     build, then all tests; ends with a line "N passed, N failed, N skipped"
  bench    build, then `elmn bench` with the arguments; without any: the bundled model's speed, and every operation
  pack     build a folder out/pack/elmn-<runtime> that runs where no .NET is installed
  clean    remove out/
'@
}

function Stop-Build([string] $Message) {
    [Console]::Error.WriteLine("build.ps1: $Message")
    exit 1
}

function Find-Tools {
    if (-not (Get-Command dotnet -ErrorAction SilentlyContinue)) { Stop-Build 'the .NET 10 SDK is missing; install it from https://dot.net' }
    if (-not ((dotnet --list-sdks) -match '^1[0-9]\.')) { Stop-Build 'the .NET SDK is older than 10; install it from https://dot.net' }
    if (-not (Get-Command cmake -ErrorAction SilentlyContinue)) { Stop-Build 'cmake is missing; install it with: winget install Kitware.CMake' }
}

function Invoke-Step([string] $Failure, [scriptblock] $Step) {
    & $Step
    if ($LASTEXITCODE -ne 0) { Stop-Build $Failure }
}

# Compiles each kernels/NAME.cu into out/kernels: by nvcc, else by clang into PTX; the program loads them from the folder kernels beside it.
function Build-Kernels {
    $Nvcc = Get-Command nvcc -ErrorAction SilentlyContinue
    $Clang = Get-Command clang-19, clang -ErrorAction SilentlyContinue | Select-Object -First 1
    if (-not $Nvcc -and -not $Clang) {
        Write-Output 'kernels: not compiled, so there is no --device cuda; winget install LLVM.LLVM, or install the CUDA toolkit'
        return
    }
    New-Item -ItemType Directory -Force out/kernels | Out-Null
    foreach ($Source in Get-ChildItem kernels/*.cu) {
        $Image = "out/kernels/$($Source.BaseName)"
        if ($Nvcc) {
            Invoke-Step "$Source does not compile" { nvcc -std=c++20 -O3 -cubin -gencode arch=compute_80,code=sm_80 $Source -o "$Image.sm_80.cubin" }
            Invoke-Step "$Source does not compile" { nvcc -std=c++20 -O3 -cubin -gencode arch=compute_90a,code=sm_90a $Source -o "$Image.sm_90a.cubin" }
            Invoke-Step "$Source does not compile" { nvcc -std=c++20 -O3 -ptx -arch=compute_80 $Source -o "$Image.ptx" }
        } else {
            Invoke-Step "$Source does not compile" {
                & $Clang -x cuda --cuda-device-only --cuda-gpu-arch=sm_80 --cuda-feature=+ptx80 -nocudainc -nocudalib -std=c++20 -O3 -S $Source -o "$Image.ptx"
            }
        }
    }
    Write-Output "kernels: compiled by $(if ($Nvcc) { 'nvcc' } else { 'clang (install the CUDA toolkit for cubins)' })"
}

function Build-All {
    Find-Tools
    New-Item -ItemType Directory -Force out | Out-Null
    Invoke-Step 'CMake could not configure the native library; a C++20 compiler is needed (winget install Microsoft.VisualStudio.2022.BuildTools)' { cmake -S . -B out/cmake -DCMAKE_BUILD_TYPE=Release | Out-Null }
    Invoke-Step 'the native library does not compile' { cmake --build out/cmake --config Release | Out-Null }
    Build-Kernels
    Invoke-Step 'the C# projects do not compile' { dotnet build src/ElmNative.Cli -c Release -v q }
    if (-not $Windows) { & ln -sfn dotnet/bin/ElmNative.Cli/release/elmn out/elmn }
}

function Invoke-Tests {
    Build-All
    Invoke-Step 'the test projects do not compile' { dotnet build ElmNative.sln -c Release -v q }
    $Passed = 0; $Failed = 0; $Skipped = 0
    foreach ($Project in 'Compute', 'Transformers', 'Experience', 'Cli') {
        Write-Output "== $Project"
        $Test = "out/dotnet/bin/ElmNative.$Project.Tests/release/ElmNative.$Project.Tests"
        if ($Windows) { $Test += '.exe' }
        $Log = & $Test --progress off --no-ansi @Rest 2>&1 | ForEach-Object { "$_" }
        if ($LASTEXITCODE -notin 0, 2, 8) { $Failed++ }
        $Log | Write-Output
        foreach ($Line in $Log) {
            if ($Line -match '^\s*succeeded: (\d+)') { $Passed += [int] $Matches[1] }
            if ($Line -match '^\s*failed: (\d+)') { $Failed += [int] $Matches[1] }
            if ($Line -match '^\s*skipped: (\d+)') { $Skipped += [int] $Matches[1] }
        }
    }
    Write-Output "$Passed passed, $Failed failed, $Skipped skipped"
    if ($Failed -gt 0) { exit 1 }
}

function New-Pack {
    Build-All
    $Folder = "out/pack/elmn-$Runtime"
    if (Test-Path $Folder) { Remove-Item -Recurse -Force $Folder }
    Invoke-Step 'the self-contained program could not be built' {
        dotnet publish src/ElmNative.Cli -c Release -r $Runtime --self-contained -v q -p:PublishSingleFile=true -p:PublishTrimmed=true `
            -p:TrimMode=partial -p:PublishReadyToRun=true -p:DebugType=none -p:NoWarn=IL2104 -p:PublishReferencesDocumentationFiles=false -o $Folder
    }
    Copy-Item LICENSE, README.md $Folder
    Write-Output "$Folder is ready"
}

switch ($Verb) {
    'build' { Build-All; Write-Output "$Program is ready" }
    'run' {
        Build-All
        $Tiny = 'bench/models/tiny-math'
        & $Program stream --model "$Tiny/model" --data "$Tiny/stream.jsonl" --limit 100 --parallel 16 --out out/runs/tiny-math --overwrite @Rest
        exit $LASTEXITCODE
    }
    'test' { Invoke-Tests }
    'bench' {
        Build-All
        & $Program bench @Rest
        if ($LASTEXITCODE -eq 0 -and $Rest.Count -eq 0) { Write-Output ''; & $Program bench --kernels }
        exit $LASTEXITCODE
    }
    'pack' { New-Pack }
    'clean' { if (Test-Path out) { Remove-Item -Recurse -Force out } }
    { $_ -in '--help', '-h', 'help' } { Show-Usage }
    default { Show-Usage; Stop-Build "there is no verb '$Verb'" }
}
