# The kernels, compiled once per instruction set and scalar type, each cell on its own. The only file with -m flags.
#
# Every set gets its own copy of all code it compiles: RNNCORE_ISA names the namespace of the kernels and the macro
# Eigen=Eigen_<set> renames that of Eigen. Otherwise the linker would keep one of several equally named functions,
# and a processor without AVX could meet AVX code in any of them. tests/cpp/check_symbols.py holds the objects to it.

include_guard()
include(CheckCXXCompilerFlag)

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

# For processors that few still have: smaller code, for the sake of the wheel.
set(rnncore_flags_baseline $<$<CONFIG:Release>:-O2>)
set(rnncore_flags_neon "")
set(rnncore_flags_avx2 -mavx2 -mfma)
# GCC 12 takes the undefined registers in its own AVX-512 intrinsics for mistakes.
set(rnncore_flags_avx512
    -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512
    -Wno-uninitialized)

# rnncore_add_amx(<library> <source>): the one source compiled with AMX, where the compiler knows it. Beside its tiles
# it has the instructions of every processor.
function(rnncore_add_amx library source)
  target_sources(${library} PRIVATE ${source})
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    check_cxx_compiler_flag("-mamx-tile -mamx-bf16" RNNCORE_COMPILER_HAS_AMX)
    if(RNNCORE_COMPILER_HAS_AMX)
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-mamx-tile;-mamx-bf16")
    endif()
  endif()
endfunction()

# The names in the one list of cells. Whoever adds a cell there makes CMake run again.
set(rnncore_list_of_cells "${CMAKE_CURRENT_SOURCE_DIR}/src/rnncore/cells/all.hpp")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${rnncore_list_of_cells}")
file(READ "${rnncore_list_of_cells}" listed)
string(REGEX MATCHALL "\n +MACRO\\([a-z_0-9]+," RNNCORE_CELLS "${listed}")
list(TRANSFORM RNNCORE_CELLS REPLACE "\n +MACRO\\((.*)," "\\1")
if(NOT RNNCORE_CELLS)
  message(FATAL_ERROR "No cell was found in ${rnncore_list_of_cells}")
endif()

# rnncore_objects_of(<set> <variable>): the object libraries of one set that rnncore_add_per_set has made.
function(rnncore_objects_of set variable)
  get_property(objects GLOBAL PROPERTY rnncore_objects_of_${set})
  set(${variable} ${objects} PARENT_SCOPE)
endfunction()

# rnncore_add_objects(<library> <objects> <set> <scalar> <source>...): adds sources compiled for one set and type.
function(rnncore_add_objects library objects set scalar)
  add_library(${objects} OBJECT ${ARGN})
  target_include_directories(${objects} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_compile_definitions(${objects} PRIVATE RNNCORE_ISA=${set} RNNCORE_SCALAR=${scalar} Eigen=Eigen_${set})
  # Vector types lose their alignment attribute as template arguments, as Eigen means them to. Nothing is thrown in or
  # through kernels: what unwinding would need is a fiftieth of the wheel.
  set(no_unwinding $<$<CONFIG:Release>:-fno-exceptions> $<$<CONFIG:Release>:-fno-asynchronous-unwind-tables>)
  target_compile_options(
    ${objects} PRIVATE ${rnncore_flags_${set}} ${no_unwinding} -Wno-psabi -Wno-ignored-attributes
                       -Wno-maybe-uninitialized)
  target_link_libraries(${objects} PRIVATE Eigen3::Eigen rnncore_strict)
  target_sources(${library} PRIVATE $<TARGET_OBJECTS:${objects}>)
  set_property(GLOBAL APPEND PROPERTY rnncore_objects_of_${set} ${objects})
endfunction()

# rnncore_add_per_set(<library> <source>... [FLOAT <source>...] [EACH_CELL <source>]): adds the sources' objects for
# every set and scalar type to the library, those behind FLOAT for this type alone, those of the last source for every
# cell too (as RNNCORE_CELL), and tells the library's other sources which sets there are, as RNNCORE_HAVE_<SET>=1.
function(rnncore_add_per_set library)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "EACH_CELL" "FLOAT")
  foreach(set IN LISTS RNNCORE_SETS)
    foreach(scalar IN ITEMS float double)
      set(sources ${arg_UNPARSED_ARGUMENTS})
      if(scalar STREQUAL "float")
        list(APPEND sources ${arg_FLOAT})
      endif()
      rnncore_add_objects(${library} ${library}_${set}_${scalar} ${set} ${scalar} ${sources})
      if(arg_EACH_CELL)
        foreach(cell IN LISTS RNNCORE_CELLS)
          set(objects ${library}_${set}_${scalar}_${cell})
          rnncore_add_objects(${library} ${objects} ${set} ${scalar} ${arg_EACH_CELL})
          target_compile_definitions(${objects} PRIVATE RNNCORE_CELL=${cell})
        endforeach()
      endif()
    endforeach()
    string(TOUPPER ${set} upper)
    target_compile_definitions(${library} PRIVATE RNNCORE_HAVE_${upper}=1)
  endforeach()
endfunction()
