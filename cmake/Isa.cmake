# The kernels, compiled once per instruction set and scalar type. The only file with -m flags.
#
# Every set gets its own copy of all code it compiles: RNNCORE_ISA names the namespace of the kernels and the macro
# Eigen=Eigen_<set> renames that of Eigen. Otherwise the linker would keep one of several equally named functions,
# and a processor without AVX could meet AVX code in any of them. tests/cpp/check_symbols.py holds the objects to it.

include_guard()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(RNNCORE_SETS baseline avx2 avx512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(RNNCORE_SETS neon)
else()
  set(RNNCORE_SETS baseline)
endif()

set(RNNCORE_ONLY "" CACHE STRING "Build these instruction sets alone, such as avx2: for quick development builds")
if(RNNCORE_ONLY)
  set(RNNCORE_SETS ${RNNCORE_ONLY})
endif()

set(rnncore_flags_baseline "")
set(rnncore_flags_neon "")
set(rnncore_flags_avx2 -mavx2 -mfma)
# GCC 12 takes the undefined registers in its own AVX-512 intrinsics for mistakes.
set(rnncore_flags_avx512
    -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512
    -Wno-uninitialized)

# rnncore_add_per_set(<library> <prefix> <source>): adds the source's objects <prefix>_<set>_<scalar> for every set and
# scalar type to the library, and tells the library's other sources which sets there are, as RNNCORE_HAVE_<SET>=1.
function(rnncore_add_per_set library prefix source)
  foreach(set IN LISTS RNNCORE_SETS)
    foreach(scalar IN ITEMS float double)
      set(objects ${prefix}_${set}_${scalar})
      add_library(${objects} OBJECT ${source})
      target_include_directories(${objects} PRIVATE "${PROJECT_SOURCE_DIR}/src")
      target_compile_definitions(
        ${objects} PRIVATE RNNCORE_ISA=${set} RNNCORE_SCALAR=${scalar} Eigen=Eigen_${set})
      # Vector types lose their alignment attribute as template arguments, as Eigen means them to.
      target_compile_options(
        ${objects} PRIVATE ${rnncore_flags_${set}} -Wno-psabi
                           -Wno-ignored-attributes -Wno-maybe-uninitialized)
      target_link_libraries(${objects} PRIVATE Eigen3::Eigen rnncore_strict)
      target_sources(${library} PRIVATE $<TARGET_OBJECTS:${objects}>)
    endforeach()
    string(TOUPPER ${set} upper)
    target_compile_definitions(${library} PRIVATE RNNCORE_HAVE_${upper}=1)
  endforeach()
endfunction()
