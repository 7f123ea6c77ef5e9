# What Temper's targets stand on; Temper's own build and every project that uses it look here.
find_package(LibTorch REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(ONIG REQUIRED IMPORTED_TARGET oniguruma)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(JEMALLOC REQUIRED IMPORTED_TARGET jemalloc)

# FLINT and Arb, which Debian packages apart and without a file for CMake or pkg-config.
if(NOT TARGET Flint::Flint)
  find_path(FLINT_INCLUDE flint/fmpq.h REQUIRED)
  find_path(ARB_INCLUDE acb.h REQUIRED)
  find_library(FLINT_LIBRARY flint REQUIRED)
  find_library(ARB_LIBRARY NAMES flint-arb arb REQUIRED)
  find_library(GMP_LIBRARY gmp REQUIRED)  # FLINT's headers call it
  add_library(Flint::Flint INTERFACE IMPORTED)
  target_include_directories(Flint::Flint SYSTEM INTERFACE ${FLINT_INCLUDE} ${ARB_INCLUDE})
  target_link_libraries(Flint::Flint INTERFACE ${ARB_LIBRARY} ${FLINT_LIBRARY} ${GMP_LIBRARY})
endif()
