# temper_room(NAME [ROOMS r...] [FOLDERS f...] [LIBS l...] [TORCH]): the static library temper_NAME from lib/NAME/*.cc and
# lib/NAME/<folder>/*.cc. A room inside a room ("task/rl") is the library temper_task_rl.
# temper_app(NAME): the program temper-NAME from apps/NAME.cc.
# temper_export(NAMES...): makes rooms and programs known to find_package(Temper).

# The uninitialised-value warnings are false alarms inside gcc 12's own AVX-512 headers.
set(TEMPER_WARNINGS -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wno-uninitialized -Wno-maybe-uninitialized)

if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  list(APPEND TEMPER_WARNINGS -Wno-unknown-warning-option)
endif()
set(TEMPER_MALLOC PkgConfig::JEMALLOC)
if(TEMPER_SANITIZE)
  set(TEMPER_MALLOC "")
endif()

# One precompiled header serves every target that uses torch.
function(temper_torch target)
  # The wheel brings fmt headers of its own, newer than the fmt library that spdlog and we link: ours must come first.
  get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/include/fmt)
  file(CREATE_LINK ${fmt_include}/fmt ${CMAKE_BINARY_DIR}/include/fmt/fmt SYMBOLIC)
  target_include_directories(${target} BEFORE PUBLIC $<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/include/fmt>
                                                    $<INSTALL_INTERFACE:include/temper-fmt>)
  if(TEMPER_SANITIZE MATCHES thread)
    # Before LibTorch, whose libgomp it stands in front of; by its path, as it is nobody's to export.
    if(NOT TARGET temper_tsan_openmp)
      add_library(temper_tsan_openmp SHARED ${CMAKE_SOURCE_DIR}/tests/tsan/openmp.cc)
      set_target_properties(temper_tsan_openmp PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    endif()
    add_dependencies(${target} temper_tsan_openmp)
    target_link_libraries(${target} PUBLIC ${CMAKE_BINARY_DIR}/libtemper_tsan_openmp.so)
    target_link_options(${target} PUBLIC -Wl,-rpath,${CMAKE_BINARY_DIR})
  endif()
  target_link_libraries(${target} PUBLIC LibTorch::LibTorch)
  # at::parallel_for is compiled into our kernels; it must run on the OpenMP runtime that libtorch itself
  # uses, so we compile for OpenMP and link the wheel's own libgomp, never the system's. clang's OpenMP is
  # another runtime: there our own loops run on one thread.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fopenmp>)
  if(NOT TARGET temper_pch)
    file(WRITE ${CMAKE_BINARY_DIR}/pch/temper_pch.cc "")
    add_library(temper_pch OBJECT ${CMAKE_BINARY_DIR}/pch/temper_pch.cc)
    target_include_directories(temper_pch BEFORE PRIVATE ${CMAKE_BINARY_DIR}/include/fmt)
    target_link_libraries(temper_pch PUBLIC LibTorch::LibTorch nlohmann_json::nlohmann_json fmt::fmt spdlog::spdlog)
    target_compile_options(temper_pch PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fopenmp> ${TEMPER_WARNINGS})
    # Loading it costs every file two seconds: nothing that only a few files need belongs here.
    target_precompile_headers(temper_pch PRIVATE <ATen/ATen.h> <ATen/Parallel.h> <nlohmann/json.hpp>
                              <fmt/format.h> <string> <vector> <map>)
  endif()
  # Programs are compiled as the precompiled header is, or gcc would not use it.
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  target_precompile_headers(${target} REUSE_FROM temper_pch)
endfunction()

function(temper_room name)
  cmake_parse_arguments(ARG "TORCH" "" "ROOMS;FOLDERS;LIBS" ${ARGN})
  set(globs ${CMAKE_SOURCE_DIR}/lib/${name}/*.cc)
  foreach(folder ${ARG_FOLDERS})
    list(APPEND globs ${CMAKE_SOURCE_DIR}/lib/${name}/${folder}/*.cc)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${globs})
  string(REPLACE / _ id ${name})
  set(farm ${CMAKE_BINARY_DIR}/include/${id})
  get_filename_component(above ${farm}/${name} DIRECTORY)
  file(MAKE_DIRECTORY ${above})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/lib/${name} ${farm}/${name} SYMBOLIC)
  set(target temper_${id})
  if(NOT sources)
    add_library(${target} INTERFACE)
    target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${farm}> $<INSTALL_INTERFACE:include/temper>)
    foreach(room ${ARG_ROOMS})
      string(REPLACE / _ room ${room})
      target_link_libraries(${target} INTERFACE temper_${room})
    endforeach()
    return()
  endif()
  add_library(${target} STATIC ${sources})
  add_library(Temper::${id} ALIAS ${target})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${farm}> $<INSTALL_INTERFACE:include/temper>)
  target_compile_options(${target} PRIVATE ${TEMPER_WARNINGS})
  foreach(room ${ARG_ROOMS})
    string(REPLACE / _ room ${room})
    target_link_libraries(${target} PUBLIC temper_${room})
  endforeach()
  target_link_libraries(${target} PUBLIC ${ARG_LIBS} fmt::fmt nlohmann_json::nlohmann_json)
  if(ARG_TORCH)
    temper_torch(${target})
  endif()
endfunction()

# temper_app(NAME) also gives the library Temper::NAME_program, the program's main in an archive: a project of your own links it
# to build the program with objectives and rewards of its own (lib/objective/extend.h).
function(temper_app name)
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/apps/${name}.cc)
    return()
  endif()
  set(main temper_${name}_main)
  add_library(${main} OBJECT ${CMAKE_SOURCE_DIR}/apps/${name}.cc)
  target_link_libraries(${main} PUBLIC temper_inspect CLI11::CLI11)
  target_compile_options(${main} PRIVATE ${TEMPER_WARNINGS})
  temper_torch(${main})
  add_executable(temper-${name} $<TARGET_OBJECTS:${main}>)
  target_link_libraries(temper-${name} PRIVATE temper_inspect CLI11::CLI11 ${TEMPER_MALLOC})
  install(TARGETS temper-${name} RUNTIME DESTINATION bin)
  add_library(temper_${name}_program STATIC $<TARGET_OBJECTS:${main}>)
  target_link_libraries(temper_${name}_program PUBLIC temper_inspect CLI11::CLI11 ${TEMPER_MALLOC})
endfunction()

# find_package(Temper), from the build folder or from an install prefix: Temper::<room> and Temper::<app>_program, with what they
# stand on. An installed Temper shows all rooms' headers; which room uses which is checked here.
function(temper_export)
  set(targets "")
  foreach(name ${ARGN})
    string(REPLACE / _ id ${name})
    list(APPEND targets temper_${id})
    set_target_properties(temper_${id} PROPERTIES EXPORT_NAME ${id})
    if(EXISTS ${CMAKE_SOURCE_DIR}/lib/${name} AND NOT name MATCHES /)
      install(DIRECTORY ${CMAKE_SOURCE_DIR}/lib/${name} DESTINATION include/temper FILES_MATCHING PATTERN "*.h")
    endif()
  endforeach()
  install(TARGETS ${targets} EXPORT TemperTargets ARCHIVE DESTINATION lib)
  install(EXPORT TemperTargets NAMESPACE Temper:: DESTINATION lib/cmake/Temper)
  export(EXPORT TemperTargets NAMESPACE Temper:: FILE ${CMAKE_BINARY_DIR}/TemperTargets.cmake)
  get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
  install(DIRECTORY ${fmt_include}/fmt DESTINATION include/temper-fmt)

  set(modules ${CMAKE_SOURCE_DIR}/scripts/cmake)
  set(TEMPER_MODULES ${modules})
  configure_file(${modules}/TemperConfig.cmake.in ${CMAKE_BINARY_DIR}/TemperConfig.cmake @ONLY)
  set(TEMPER_MODULES "\${CMAKE_CURRENT_LIST_DIR}")
  configure_file(${modules}/TemperConfig.cmake.in ${CMAKE_BINARY_DIR}/install/TemperConfig.cmake @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/install/TemperConfig.cmake ${modules}/Compiler.cmake ${modules}/Dependencies.cmake
                ${modules}/FindLibTorch.cmake DESTINATION lib/cmake/Temper)
endfunction()
