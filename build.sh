#!/usr/bin/env bash
# Builds, runs, tests and packs ElmNative. build.ps1 has the same verbs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_CLI_USE_MSBUILD_SERVER=0
jobs=$(nproc 2>/dev/null || echo 2)
test_projects=(Compute Transformers Experience Cli)

usage() {
    cat <<'END'
./build.sh VERB [ARGUMENTS]

  build    compile everything; leaves out/elmn
  run      build, then the main job: the online protocol on the bundled model (arguments go to `elmn stream`)
  test     build, then all tests; ends with a line "N passed, N failed, N skipped" (arguments go to the test programs, e.g. --filter Name)
  bench    build, then `elmn bench` with the arguments; without any: the bundled model's speed, and every operation
  pack     build a folder out/pack/elmn-linux-x64 that runs where no .NET is installed
  clean    remove out/
END
}

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

# Says in a line for each missing tool how to get it, and stops if there was one.
find_tools() {
    local missing=() compiler
    if ! command -v dotnet >/dev/null || ! dotnet --list-sdks | grep -q '^1[0-9]\.'; then
        missing+=("the .NET SDK 10 or newer: curl -sSL https://dot.net/v1/dotnet-install.sh | bash -s -- --channel 10.0, then add ~/.dotnet to PATH")
    fi
    command -v cmake >/dev/null || missing+=("CMake: sudo apt-get install cmake")
    compiler=$(command -v "${CXX:-c++}" || command -v g++ || command -v clang++ || true)
    if [[ -z $compiler ]] || ! echo 'int main() {}' | "$compiler" -std=c++20 -x c++ -fsyntax-only - 2>/dev/null; then
        missing+=("a C++20 compiler: sudo apt-get install g++")
    fi
    [[ ${#missing[@]} -eq 0 ]] && return
    printf 'build.sh: missing: %s\n' "${missing[@]}" >&2
    exit 1
}

# True when nothing that the stamp depends on has changed since it was made.
up_to_date() {
    local stamp=$1
    shift
    [[ -f $stamp ]] && [[ -z $(find "$@" -newer "$stamp" -print -quit) ]]
}

build_native() {
    [[ -f out/cmake/CMakeCache.txt ]] || cmake -S . -B out/cmake -DCMAKE_BUILD_TYPE=Release >out/cmake-configure.log 2>&1 || {
        cat out/cmake-configure.log >&2
        fail "CMake could not configure the native library"
    }
    cmake --build out/cmake -j "$jobs" >out/cmake-build.log 2>&1 || {
        cat out/cmake-build.log >&2
        fail "the native library does not compile"
    }
}

build() {
    mkdir -p out
    if up_to_date out/.built src native CMakeLists.txt && [[ -x out/elmn ]]; then
        return
    fi
    find_tools
    echo "building the native library (C++)" >&2
    build_native
    echo "building elmn (C#)" >&2
    dotnet build src/ElmNative.Cli -c Release -v q --tl:off >out/dotnet-build.log 2>&1 || {
        cat out/dotnet-build.log >&2
        fail "the C# projects do not compile"
    }
    ln -sfn dotnet/bin/ElmNative.Cli/release/elmn out/elmn
    touch out/.built
}

run() {
    build
    local tiny=bench/models/tiny-math
    exec out/elmn stream --model $tiny/model --data $tiny/stream.jsonl --limit 100 --parallel 16 --out out/runs/tiny-math --overwrite "$@"
}

bench() {
    build
    [[ $# -eq 0 ]] || exec out/elmn bench "$@"
    out/elmn bench
    echo
    out/elmn bench --kernels
}

# Adds up the counts of a test program's summary, e.g. "  succeeded: 12".
count() {
    awk -v key="$1:" '$1 == key { n += $2 } END { print n + 0 }' "$2"
}

run_tests() {
    build
    dotnet build ElmNative.sln -c Release -v q --tl:off >out/dotnet-build.log 2>&1 || {
        cat out/dotnet-build.log >&2
        fail "the test projects do not compile"
    }
    local passed=0 failed=0 skipped=0 status=0 log=out/test.log
    if [[ $# -eq 0 ]]; then
        echo "== native"
        cmake -S . -B out/cmake -DELM_CHECKS=ON >out/cmake-configure.log 2>&1 && build_native
        if ctest --test-dir out/cmake --output-on-failure --no-tests=ignore >$log 2>&1; then :; else status=1; fi
        cat $log
        passed=$((passed + $(grep -cE '^ *[0-9]+/[0-9]+ Test .* Passed ' $log || true)))
        failed=$((failed + $(grep -cE '^ *[0-9]+/[0-9]+ Test .*\*\*\*(Failed|Exception|Timeout|Not Run)' $log || true)))
    fi
    local project program result
    for project in "${test_projects[@]}"; do
        echo "== $project"
        program=out/dotnet/bin/ElmNative.$project.Tests/release/ElmNative.$project.Tests
        result=0
        "$program" --progress off --no-ansi "$@" 2>&1 | tee $log || result=$?
        # 8 means that a filter left no test in this project.
        [[ $result -eq 0 || ($result -eq 8 && $# -gt 0) ]] || status=1
        passed=$((passed + $(count succeeded $log)))
        failed=$((failed + $(count failed $log)))
        skipped=$((skipped + $(count skipped $log)))
    done
    [[ $failed -eq 0 ]] || status=1
    [[ $status -eq 0 || $failed -gt 0 ]] || failed=1
    echo "$passed passed, $failed failed, $skipped skipped"
    return $status
}

pack() {
    build
    local rid=linux-x64 folder
    folder=out/pack/elmn-$rid
    rm -rf "$folder"
    echo "packing a self-contained elmn (a minute)" >&2
    # IL2104: two packages were not written for trimming; what the program uses of them is kept (TrimMode partial) and tested below.
    dotnet publish src/ElmNative.Cli -c Release -r $rid --self-contained -v q --tl:off \
        -p:PublishSingleFile=true -p:PublishTrimmed=true -p:TrimMode=partial -p:PublishReadyToRun=true -p:DebugType=none "-p:NoWarn=IL2104" -p:PublishReferencesDocumentationFiles=false \
        -o "$folder" >out/dotnet-pack.log 2>&1 || {
        cat out/dotnet-pack.log >&2
        fail "the self-contained program could not be built"
    }
    cp LICENSE README.md "$folder/"
    "$folder/elmn" verify --golden tests/golden/tiny-math >out/pack-check.log 2>&1 || {
        cat out/pack-check.log >&2
        fail "the packed program does not meet the golden values"
    }
    echo "$folder: $(du -sh "$folder" | cut -f1), start it with $folder/elmn"
}

verb=${1:---help}
[[ $# -eq 0 ]] || shift
case $verb in
    build) build && echo "out/elmn is ready" ;;
    run) run "$@" ;;
    test) run_tests "$@" ;;
    bench) bench "$@" ;;
    pack) pack ;;
    clean) rm -rf out ;;
    -h | --help | help) usage ;;
    *)
        usage >&2
        fail "there is no verb '$verb'"
        ;;
esac
