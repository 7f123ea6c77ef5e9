# Finds the LibTorch that scripts/setup.sh took out of the PyPI wheel. The wheel's own CMake config asks for a
# whole CUDA toolkit, which a machine without a GPU does not have; libtorch_cpu and libc10 need none of it. libtorch_cuda is
# loaded when a run asks for a GPU (tensor/device.h), so that one build serves both kinds of machine.
# Input: TEMPER_LIBTORCH, a folder with include/ and lib/. Gives the target LibTorch::LibTorch.
set(TEMPER_LIBTORCH "$ENV{HOME}/.cache/temper/libtorch-2.15.0" CACHE PATH "LibTorch folder (include/, lib/)")
if(NOT EXISTS ${TEMPER_LIBTORCH}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch not found at ${TEMPER_LIBTORCH}: run scripts/setup.sh, or set TEMPER_LIBTORCH")
endif()
if(NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    ${TEMPER_LIBTORCH}/include ${TEMPER_LIBTORCH}/include/torch/csrc/api/include)
  file(GLOB gomp ${TEMPER_LIBTORCH}/lib/libgomp*.so*)
  list(GET gomp 0 gomp)
  target_link_libraries(LibTorch::LibTorch INTERFACE
    ${TEMPER_LIBTORCH}/lib/libtorch_cpu.so ${TEMPER_LIBTORCH}/lib/libc10.so ${gomp})
  # The two small CUDA libraries beside libtorch_cpu are needed by its own references.
  target_link_options(LibTorch::LibTorch INTERFACE -Wl,-rpath,${TEMPER_LIBTORCH}/lib -Wl,-rpath-link,${TEMPER_LIBTORCH}/lib)
endif()
set(LibTorch_FOUND TRUE)
