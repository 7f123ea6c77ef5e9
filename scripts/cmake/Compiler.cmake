# Compiler set-up: ccache, mold, and instruction-set flags spelled out one by one. "-march=native" would let a
# compiler cache that is shared between machines hand out code that the machine cannot run.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  # norelro: mold 1.10 (Debian 12) begins RELRO at a small .tbss, which may lie on the page before the segment; then the
  # program does not start ("cannot apply additional memory protection after relocation").
  add_link_options(-fuse-ld=mold -Wl,-z,norelro)
endif()

option(TEMPER_NATIVE "Use the vector and matrix units of this machine's processor" ON)
set(TEMPER_ISA_FLAGS "")
if(TEMPER_NATIVE AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64" AND EXISTS /proc/cpuinfo)
  file(READ /proc/cpuinfo cpuinfo)
  if(cpuinfo MATCHES " avx512f .*avx512dq|avx512dq.* avx512f" AND cpuinfo MATCHES "avx512vl" AND cpuinfo MATCHES "avx512bw")
    list(APPEND TEMPER_ISA_FLAGS -march=x86-64-v4 -DCPU_CAPABILITY=AVX512 -DCPU_CAPABILITY_AVX512)
    if(cpuinfo MATCHES "avx512_bf16")
      list(APPEND TEMPER_ISA_FLAGS -mavx512bf16)
    endif()
  elseif(cpuinfo MATCHES "avx2" AND cpuinfo MATCHES " fma ")
    list(APPEND TEMPER_ISA_FLAGS -march=x86-64-v3 -DCPU_CAPABILITY=AVX2 -DCPU_CAPABILITY_AVX2)
  endif()
endif()
add_compile_options(${TEMPER_ISA_FLAGS} -fno-math-errno -fno-trapping-math -ffp-contract=off)
