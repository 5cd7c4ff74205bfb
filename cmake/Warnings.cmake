# rnncore_strict: what every source of the project is compiled with, beside the instruction set.

include_guard()

add_library(rnncore_strict INTERFACE)
target_compile_options(
  rnncore_strict
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wconversion
            -Wdouble-promotion
            -Wnon-virtual-dtor
            -Woverloaded-virtual
            -Wundef
            -Wvla
            # Results must not depend on where the compiler sees a multiply next to an add; kernels fuse by hand.
            -ffp-contract=off
            -fno-math-errno)
if(RNNCORE_WERROR)
  target_compile_options(rnncore_strict INTERFACE -Werror)
endif()
if(RNNCORE_SANITIZE)
  target_compile_options(
    rnncore_strict INTERFACE -fsanitize=${RNNCORE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(RNNCORE_SANITIZE MATCHES "address")
    # A null pointer ends the process where it is read; a check at each member access doubles the kernels' compile time.
    target_compile_options(rnncore_strict INTERFACE -fno-sanitize=null)
  endif()
  target_link_options(rnncore_strict INTERFACE -fsanitize=${RNNCORE_SANITIZE})
endif()
