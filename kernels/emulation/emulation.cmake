# The kernels as C++ on the emulation: behind the entry points of libcuda and libcublasLt (out/emulation), which the tests of the CUDA backend load in place of the driver, and as object
# libraries for the checks in tests/kernels. Not part of the program.
file(GLOB ELM_KERNELS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/*.cu)
set_source_files_properties(${ELM_KERNELS} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")

# No contraction, so that all builds of a kernel give the same bits.
set(ELM_EMULATION_OPTIONS -ffp-contract=off -fno-math-errno -Wall -Wextra -Wno-unknown-pragmas -Wno-psabi -Wno-maybe-uninitialized)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64")
    include(CheckCXXCompilerFlag)
    include(CheckCXXSourceRuns)
    # Thread-local variables of a library without a call for each access; shared memory is too large for those that are found at fixed offsets.
    check_cxx_compiler_flag(-mtls-dialect=gnu2 ELM_TLS_DESCRIPTORS)
    if(ELM_TLS_DESCRIPTORS)
        set(ELM_LIBRARY_OPTIONS -mtls-dialect=gnu2)
    endif()
    check_cxx_source_runs("int main() { return __builtin_cpu_supports(\"avx2\") && __builtin_cpu_supports(\"fma\") && __builtin_cpu_supports(\"bmi2\") ? 0 : 1; }" ELM_MACHINE_IS_X86_64_V3)
    if(ELM_MACHINE_IS_X86_64_V3)
        list(APPEND ELM_EMULATION_OPTIONS -march=x86-64-v3)
    endif()
endif()

set(ELM_EMULATION_SOURCES)
foreach(source fiber launch scheduler tensor_core)
    list(APPEND ELM_EMULATION_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${source}.cpp)
endforeach()

add_library(elm_emulation OBJECT ${ELM_EMULATION_SOURCES})
add_library(elm_emulated_kernels OBJECT ${ELM_KERNELS})
foreach(part elm_emulation elm_emulated_kernels)
    target_include_directories(${part} PUBLIC ${CMAKE_SOURCE_DIR}/kernels)
    target_compile_options(${part} PRIVATE -O2 ${ELM_EMULATION_OPTIONS} ${ELM_LIBRARY_OPTIONS})
    set_target_properties(${part} PROPERTIES POSITION_INDEPENDENT_CODE ON)
endforeach()

add_library(elm_cuda_standin SHARED
    $<TARGET_OBJECTS:elm_emulation> $<TARGET_OBJECTS:elm_emulated_kernels>)
foreach(source device memory modules recorder streams)
    target_sources(elm_cuda_standin PRIVATE ${CMAKE_CURRENT_LIST_DIR}/driver/${source}.cpp)
endforeach()
add_library(elm_cublaslt_standin SHARED ${CMAKE_CURRENT_LIST_DIR}/cublaslt.cpp)
target_link_libraries(elm_cublaslt_standin PRIVATE elm_cuda_standin)
foreach(standin elm_cuda_standin elm_cublaslt_standin)
    target_include_directories(${standin} PRIVATE ${CMAKE_SOURCE_DIR}/kernels)
    target_compile_options(${standin} PRIVATE -O2 ${ELM_EMULATION_OPTIONS})
    target_link_libraries(${standin} PRIVATE Threads::Threads)
    set_target_properties(${standin} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_SOURCE_DIR}/out/emulation" BUILD_RPATH "$ORIGIN")
endforeach()
