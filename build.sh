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
  test     build, then all tests, the CUDA kernels on an emulation and under sanitizers among them; ends with a line "N passed, N failed, N skipped" (arguments go to the test programs, e.g. --filter Name)
  bench    build, then `elmn bench` with the arguments; without any: the bundled model's speed, and every operation
  kernels  compile the CUDA kernels alone, into out/kernels (needs no .NET)
  pack     build folders that run where no .NET is installed: out/pack/elmn-linux-x64, and out/pack/kernel-tests-linux-x64 for bench/gpu.sh
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
    [[ -f out/cmake/CMakeCache.txt ]] || configure
    cmake --build out/cmake --target elm_cpu -j "$jobs" >out/cmake-build.log 2>&1 || {
        cat out/cmake-build.log >&2
        fail "the native library does not compile"
    }
}

configure() {
    cmake -S . -B out/cmake -DCMAKE_BUILD_TYPE=Release "$@" >out/cmake-configure.log 2>&1 || {
        cat out/cmake-configure.log >&2
        fail "CMake could not configure the native library"
    }
}

# The compiler of the CUDA kernels: nvcc, else a clang that knows sm_90, else nothing.
kernel_compiler() {
    local candidate
    for candidate in "${NVCC:-nvcc}" "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" clang++-21 clang++-20 clang++-19 clang-21 clang-20 clang-19; do
        if command -v "$candidate"; then
            return
        fi
    done
}

# Compiles each kernels/NAME.cu into out/kernels: NAME.ptx, and by nvcc NAME.sm_80.cubin and NAME.sm_90a.cubin. The program loads them from the folder kernels beside it.
build_kernels() {
    local compiler version source name image work=()
    compiler=$(kernel_compiler)
    if [[ -z $compiler ]]; then
        rm -rf out/kernels
        echo "kernels: not compiled, so there is no --device cuda; sudo apt-get install clang-19, or install the CUDA toolkit" >&2
        return
    fi
    version="$compiler: $("$compiler" --version | grep -E 'release|version' | head -1)"
    [[ $(cat out/kernels/.compiler 2>/dev/null || true) == "$version" ]] || rm -rf out/kernels
    mkdir -p out/kernels
    for image in out/kernels/*.{ptx,cubin}; do
        name=${image##*/}
        [[ -f kernels/${name%%.*}.cu ]] || rm -f "$image"
    done
    for source in kernels/*.cu; do
        name=$(basename "$source" .cu)
        up_to_date "out/kernels/$name.ptx" "$source" kernels/*.h || work+=("$name")
    done
    if [[ ${#work[@]} -gt 0 ]]; then
        export -f compile_kernel
        printf '%s\n' "${work[@]}" | xargs -P "$jobs" -I {} bash -c 'compile_kernel "$0" "$1"' "$compiler" {} >out/kernels-build.log 2>&1 || {
            cat out/kernels-build.log >&2
            fail "the CUDA kernels do not compile"
        }
        echo "$version" >out/kernels/.compiler
    fi
    if [[ $compiler == *nvcc ]]; then
        echo "kernels: cubins for sm_80 and sm_90a, and PTX, by $compiler" >&2
    else
        echo "kernels: PTX by $(basename "$compiler") (install the CUDA toolkit for cubins)" >&2
    fi
}

compile_kernel() {
    local compiler=$1 name=$2 options=(-std=c++20 -O3)
    if [[ $compiler == *nvcc ]]; then
        # Side by side, as the large sources decide how long all take; the PTX, by whose age a source counts as compiled, is there only when all three are.
        local to=out/kernels/$name first second status=0
        "$compiler" "${options[@]}" -lineinfo -cubin -gencode arch=compute_80,code=sm_80 "kernels/$name.cu" -o "$to.sm_80.cubin" &
        first=$!
        "$compiler" "${options[@]}" -lineinfo -cubin -gencode arch=compute_90a,code=sm_90a "kernels/$name.cu" -o "$to.sm_90a.cubin" &
        second=$!
        "$compiler" "${options[@]}" -ptx -arch=compute_80 "kernels/$name.cu" -o "$to.ptx.part" || status=1
        wait $first || status=1
        wait $second || status=1
        [[ $status -eq 0 ]] && mv "$to.ptx.part" "$to.ptx"
    else
        "$compiler" -x cuda --cuda-device-only --cuda-gpu-arch=sm_80 --cuda-feature=+ptx80 -nocudainc -nocudalib "${options[@]}" -Wall -Werror -S "kernels/$name.cu" -o "out/kernels/$name.ptx"
    fi
}

# Programs keep no image of a kernel that is gone.
remove_old_images() {
    local image
    for image in out/dotnet/bin/*/release/kernels/*; do
        [[ ! -f $image || -f out/kernels/${image##*/} ]] || rm -f "$image"
    done
}

build() {
    mkdir -p out
    if up_to_date out/.built src native kernels CMakeLists.txt && [[ -x out/elmn && $(kernel_compiler) == "$(cat out/.built)" ]]; then
        return
    fi
    find_tools
    echo "building the native library (C++)" >&2
    build_native
    build_kernels
    echo "building elmn (C#)" >&2
    dotnet build src/ElmNative.Cli -c Release -v q --tl:off >out/dotnet-build.log 2>&1 || {
        cat out/dotnet-build.log >&2
        fail "the C# projects do not compile"
    }
    ln -sfn dotnet/bin/ElmNative.Cli/release/elmn out/elmn
    remove_old_images
    kernel_compiler >out/.built
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

# Replays the recording of the C# tests: in every order of threads, and under sanitizers. A line for each, "passed" or "FAILED" first.
replay() {
    local recording=$1 build result name
    local -A programs=([plain]="" [address]="" [thread]="")
    for build in "${!programs[@]}"; do
        (
            local options=()
            [[ $build != plain ]] || options=(--order ascending --order descending --order random --order run-ahead --every-kernel)
            result=passed
            [[ $build != thread ]] || export ELM_EMULATION_WORKERS=2
            ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=halt_on_error=1 "out/cmake/replay_$build" "$recording" "${options[@]}" >"out/replay-$build.log" 2>&1 || result=FAILED
            case $build in
                plain) name="in every order of threads" ;;
                address) name="AddressSanitizer, UndefinedBehaviorSanitizer" ;;
                thread) name="ThreadSanitizer" ;;
            esac
            echo "$result $name"
            sed 's/^/    /' "out/replay-$build.log"
        ) &
    done
    wait
}

# stage NAME: ends the stage before with the seconds that it took, and begins another.
stage() {
    [[ -z ${stage_name:-} ]] || echo "   $((SECONDS - stage_start)) s"
    stage_name=$1 stage_start=$SECONDS
    [[ -z $stage_name ]] || echo "== $stage_name"
}

run_tests() {
    local begin=$SECONDS
    stage "build"
    build
    dotnet build ElmNative.sln -c Release -v q --tl:off >out/dotnet-build.log 2>&1 || {
        cat out/dotnet-build.log >&2
        fail "the test projects do not compile"
    }
    local passed=0 failed=0 skipped=0 status=0 log=out/test.log recording=$PWD/out/cuda.recording
    configure -DELM_CHECKS=ON -DELM_EMULATION=ON
    cmake --build out/cmake --target checks -j "$jobs" >out/cmake-build.log 2>&1 || {
        cat out/cmake-build.log >&2
        fail "the checks of the native library and of the kernels do not compile"
    }
    if [[ $# -eq 0 ]]; then
        stage "native library, kernels and what checks them"
        ctest --test-dir out/cmake -j "$jobs" --output-on-failure >$log 2>&1 || status=1
        grep -vE '^ *Start |^(Internal ctest|Test project)|^ *[0-9]+/[0-9]+ Test .* Passed |^$' $log || true
        passed=$((passed + $(grep -cE '^ *[0-9]+/[0-9]+ Test .* Passed ' $log || true)))
        failed=$((failed + $(grep -cE '^ *[0-9]+/[0-9]+ Test .*\*\*\*(Failed|Exception|Timeout|Not Run)' $log || true)))
        skipped=$((skipped + $(grep -cE '^ *[0-9]+/[0-9]+ Test .*\*\*\*Skipped' $log || true)))
    fi
    local project program result record
    for project in "${test_projects[@]}"; do
        stage "$project"
        program=out/dotnet/bin/ElmNative.$project.Tests/release/ElmNative.$project.Tests
        result=0 record=
        # What the kernels' tests do with the stand-in for the driver is replayed below.
        [[ $project != Compute || $# -gt 0 || ${ELM_TEST_GPU:-} == 1 ]] || record=$recording
        ELM_CUDA_RECORD=$record "$program" --progress off --no-ansi "$@" 2>&1 | tee $log || result=$?
        # 8 means that a filter left no test in this project.
        [[ $result -eq 0 || ($result -eq 8 && $# -gt 0) ]] || status=1
        passed=$((passed + $(count succeeded $log)))
        failed=$((failed + $(count failed $log)))
        skipped=$((skipped + $(count skipped $log)))
    done
    if [[ $# -eq 0 && ${ELM_TEST_GPU:-} != 1 ]]; then
        stage "the kernels' launches once more"
        replay $recording | tee $log
        passed=$((passed + $(grep -c '^passed' $log || true)))
        failed=$((failed + $(grep -c '^FAILED' $log || true)))
    fi
    stage ""
    [[ $failed -eq 0 ]] || status=1
    [[ $status -eq 0 || $failed -gt 0 ]] || failed=1
    echo "all in $((SECONDS - begin)) s"
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
    folder=out/pack/kernel-tests-$rid
    rm -rf "$folder"
    dotnet publish tests/ElmNative.Compute.Tests -c Release -r $rid --self-contained -v q --tl:off -p:DebugType=none -o "$folder" >out/dotnet-pack.log 2>&1 || {
        cat out/dotnet-pack.log >&2
        fail "the self-contained kernel tests could not be built"
    }
    echo "$folder: $(du -sh "$folder" | cut -f1), for bench/gpu.sh"
}

verb=${1:---help}
[[ $# -eq 0 ]] || shift
case $verb in
    build) build && echo "out/elmn is ready" ;;
    run) run "$@" ;;
    test) run_tests "$@" ;;
    bench) bench "$@" ;;
    kernels) mkdir -p out && build_kernels ;;
    pack) pack ;;
    clean) rm -rf out ;;
    -h | --help | help) usage ;;
    *)
        usage >&2
        fail "there is no verb '$verb'"
        ;;
esac
