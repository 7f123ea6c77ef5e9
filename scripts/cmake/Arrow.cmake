# libtemper_columns.so, which reads Parquet and Arrow files (lib/data/columns). Programs load it when they meet such a file, so
# that Arrow and the libraries that it brings along stay out of the others.
# Input: TEMPER_ARROW, a folder with include/ and lib/, which scripts/setup.sh takes out of the pyarrow wheel. Where it is not
# there, no module is built and such files are refused with a line that says so.
set(TEMPER_ARROW "$ENV{HOME}/.cache/temper/arrow-26.0.1" CACHE PATH "Arrow folder (include/, lib/) for Parquet and Arrow files; OFF: none")
set(TEMPER_COLUMNS_FOLDER ${CMAKE_BINARY_DIR}/lib)
if(TEMPER_ARROW AND EXISTS ${TEMPER_ARROW}/lib/libparquet.so.2600)
  add_library(temper_columns MODULE ${CMAKE_SOURCE_DIR}/lib/data/columns/arrow/module.cc)
  target_include_directories(temper_columns PRIVATE ${CMAKE_BINARY_DIR}/include/data ${CMAKE_BINARY_DIR}/include/base)
  target_include_directories(temper_columns SYSTEM PRIVATE ${TEMPER_ARROW}/include)
  target_compile_options(temper_columns PRIVATE ${TEMPER_WARNINGS})
  target_link_libraries(temper_columns PRIVATE fmt::fmt nlohmann_json::nlohmann_json ${TEMPER_ARROW}/lib/libparquet.so.2600
                                               ${TEMPER_ARROW}/lib/libarrow.so.2600)
  set_target_properties(temper_columns PROPERTIES UNITY_BUILD OFF LIBRARY_OUTPUT_DIRECTORY ${TEMPER_COLUMNS_FOLDER} BUILD_RPATH ${TEMPER_ARROW}/lib
                                                  INSTALL_RPATH ${TEMPER_ARROW}/lib)
  install(TARGETS temper_columns LIBRARY DESTINATION lib)
  add_dependencies(temper_data temper_columns)
else()
  message(STATUS "Arrow is not at ${TEMPER_ARROW}: Parquet and Arrow files will not be read")
endif()
set_source_files_properties(${CMAKE_SOURCE_DIR}/lib/data/columns/columns.cc PROPERTIES COMPILE_DEFINITIONS "TEMPER_COLUMNS_FOLDER=\"${TEMPER_COLUMNS_FOLDER}\"")
