#!/usr/bin/env bash
# Checks and measures the CUDA backend on a machine with an NVIDIA GPU and nvcc; no .NET is needed beside the packed build. Builds the kernels, runs every kernel test on the device, replays the
# golden values, measures, and writes a dated table to bench/results/.
#
#   ./build.sh pack          on a machine with the .NET SDK: leaves out/pack/elmn-linux-x64 and out/pack/kernel-tests-linux-x64; copy the repository with out/pack to the GPU machine
#   bench/gpu.sh             there. Stops at the first stage that fails and says which; ONLY="tests kernels" runs some stages, and the table has their names
#
# Stages: build tests sanitize verify stream kernels models steps. --rehearse runs all but build and sanitize at sizes that need no GPU, on the library that ELM_CUDA_LIBRARY names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

device=${DEVICE:-cuda:0}
elmn=${ELMN:-out/pack/elmn-linux-x64/elmn}
tests=${TESTS:-out/pack/kernel-tests-linux-x64/ElmNative.Compute.Tests}
shapes=${SHAPES:-qwen2.5-math-7b llama-3.1-8b}
kernels=() prompt=512 decode=128 batches=1,8,32,64 runs=3
step_prompt=200 step_tokens=700 step_memories=1,16 activations=${ACTIVATIONS:-24G} limit=30
stages=${ONLY:-build tests sanitize verify stream kernels models steps}
report=${REPORT:-} rehearsal=

fail() {
    echo "gpu.sh: $*" >&2
    exit 1
}

case ${1:-} in
    "") ;;
    --rehearse)
        stages=${ONLY:-tests verify stream kernels models steps}
        shapes=${SHAPES:-tiny-math} kernels=(--filter "norm [128") prompt=16 decode=4 batches=1,3 runs=1
        step_prompt=12 step_tokens=6 step_memories=1,2 activations=64M limit=1 rehearsal=yes
        ;;
    *) fail "there is no option '$1': --rehearse is the only one" ;;
esac

for stage in $stages; do
    [[ " build tests sanitize verify stream kernels models steps " == *" $stage "* ]] || fail "there is no stage '$stage' in ONLY: choose from build, tests, sanitize, verify, stream, kernels, models, steps"
done
[[ -x $elmn ]] || fail "there is no $elmn: run ./build.sh pack on a machine with the .NET SDK and copy out/pack here, or name the program with ELMN=PATH"
if [[ -z $rehearsal ]]; then
    command -v nvidia-smi >/dev/null || fail "there is no nvidia-smi: this machine has no NVIDIA driver"
    card=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader -i "${device#cuda:}")
else
    card="a rehearsal without a GPU"
fi
log=${LOG:-out/gpu}
mkdir -p "$log"
: >"$log/tables.md"

# Whether a stage was asked for.
wanted() {
    [[ " $stages " == *" $1 "* ]] && echo "== $1" >&2
}

# Runs a command of a stage; its standard output is shown and kept, its last words are shown when it fails.
step() {
    local name=$1
    shift
    echo "   $*" >&2
    "$@" >"$log/$name.out" 2>"$log/$name.err" || {
        tail -n 20 "$log/$name.out" "$log/$name.err" >&2
        fail "'$*' failed; everything it printed is in $log/$name.out and $log/$name.err"
    }
    cat "$log/$name.out"
}

# The same, and the table goes into the report under a heading.
table() {
    local heading=$1 name=$2
    shift 2
    step "$name" "$@"
    { printf '\n## %s\n\n' "$heading" && cat "$log/$name.out"; } >>"$log/tables.md"
}

# Runs a verification whose only misses may be log-probabilities.
judge() {
    local output result=0
    output=$("$@" 2>"$log/judge.err") || result=$?
    echo "$output"
    [[ $result -eq 0 ]] || { grep -q FAIL <<<"$output" && ! grep FAIL <<<"$output" | grep -qv logprobs; } || { cat "$log/judge.err" >&2; return 1; }
}

if wanted build; then
    command -v "${NVCC:-nvcc}" >/dev/null || [[ -x ${CUDA_HOME:-/usr/local/cuda}/bin/nvcc ]] || fail "there is no nvcc: install the CUDA toolkit, or leave the stage out with ONLY=\"tests verify stream kernels models steps\" to use the packed PTX"
    ./build.sh kernels
fi
# Machine code of an earlier call goes before the packed PTX, too.
if [[ -z $rehearsal ]] && compgen -G "out/kernels/*.cubin" >/dev/null; then
    export ELM_CUDA_KERNELS=$PWD/out/kernels
fi
if wanted tests; then
    [[ -x $tests ]] || fail "there is no $tests: run ./build.sh pack on a machine with the .NET SDK and copy out/pack here, or name the program with TESTS=PATH"
    [[ -n $rehearsal ]] || export ELM_TEST_GPU=1
    filter="FullyQualifiedName~Cuda"
    [[ -z $rehearsal ]] || filter="FullyQualifiedName~CudaHost"
    table "Kernel tests" tests "$tests" --no-ansi --progress off --filter "$filter"
fi
if wanted sanitize; then
    sanitizer=$(command -v compute-sanitizer) || fail "there is no compute-sanitizer: it comes with the CUDA toolkit; leave the stage out with ONLY=..."
    for tool in memcheck racecheck; do
        # Calls that fail are no errors here: the backend counts a kernel's parameters by asking for one too many, and the tests provoke others.
        checks=()
        [[ $tool != memcheck ]] || checks=(--report-api-errors no)
        ELM_TEST_GPU=1 step "sanitize-$tool" "$sanitizer" --tool $tool "${checks[@]}" --error-exitcode 9 "$tests" --no-ansi --progress off --filter "FullyQualifiedName~Cuda"
        printf '\ncompute-sanitizer --tool %s on the kernel tests: no error\n' $tool >>"$log/tables.md"
    done
fi
if wanted verify; then
    table "Golden values, tiny-math" verify-tiny "$elmn" verify --golden tests/golden/tiny-math --device "$device"
    if [[ -z $rehearsal ]]; then
        # Untrained models, whose logits BF16 moves further: their log-probabilities are shown, not judged (bench/results/README.md).
        for model in llama-tiny qwen2-tiny-sharded; do
            table "Golden values, $model" "verify-$model" judge "$elmn" verify --golden tests/golden/$model --model tests/golden/$model/model --device "$device"
        done
    fi
fi
if wanted stream; then
    rm -rf "$log/run"
    extra=()
    [[ -z $rehearsal ]] || extra=(--steps 1 --group 2 --max-tokens 6)
    table "The main job, first $limit problems" stream "$elmn" stream --limit $limit --parallel 16 --out "$log/run" --device "$device" "${extra[@]}"
fi
if wanted kernels; then
    table "Operations" kernels "$elmn" bench --kernels --device "$device" "${kernels[@]}"
fi
if wanted models; then
    for shape in $shapes; do
        table "Tokens per second, $shape" "models-$shape" "$elmn" bench --shape "$shape" -p $prompt -n $decode --batch $batches -r $runs --device "$device"
    done
fi
if wanted steps; then
    for shape in $shapes; do
        table "Memory steps, $shape" "steps-$shape" "$elmn" bench --step --shape "$shape" -p $step_prompt -n $step_tokens --memories $step_memories -r $runs --activation-memory $activations --device "$device"
    done
fi

if [[ -z $report ]]; then
    name=$(echo "${card%%,*}" | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9-')
    report=bench/results/$(date +%F)-$name${ONLY:+-${ONLY// /-}}.md
    [[ -z $rehearsal ]] || report="$log/rehearsal.md"
fi
{
    printf '# %s: %s, CUDA backend\n\n%s; ' "$(date +%F)" "${card%%,*}" "$("$elmn" --version)"
    printf 'GPU, driver, memory: %s; ' "$card"
    printf 'nvcc: %s; command: bench/gpu.sh %s\n' "$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\),.*/\1/p' || true)" "${1:-}"
    cat "$log/tables.md"
} >"$report"
echo "everything passed; the tables are in $report" >&2
