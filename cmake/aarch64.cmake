# Cross-compiles for aarch64 on Debian or Ubuntu (g++-aarch64-linux-gnu) and runs the results under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
# Headers of Eigen and doctest are those of the host; libraries never are.
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
