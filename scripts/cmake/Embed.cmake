# temper_embed(TARGET FUNCTION FOLDER): adds to the target a source that defines std::string_view temper::FUNCTION(std::string_view
# name): the bytes of the folder's file of this name, .html, .css or .js; a view of nothing for any other.
# The build runs this file as a script: cmake -DFOLDER=... -DFUNCTION=... -DOUT=... -P Embed.cmake
if(CMAKE_SCRIPT_MODE_FILE)
  file(GLOB files RELATIVE ${FOLDER} ${FOLDER}/*.html ${FOLDER}/*.css ${FOLDER}/*.js)
  set(arrays "")
  set(lookups "")
  set(index 0)
  foreach(name ${files})
    file(READ ${FOLDER}/${name} bytes HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
    string(APPEND arrays "static const char k${index}[] = {${bytes}0};\n")
    string(APPEND lookups "  if (name == \"${name}\") return {k${index}, sizeof(k${index}) - 1};\n")
    math(EXPR index "${index} + 1")
  endforeach()
  file(WRITE ${OUT} "#include <string_view>\n\nnamespace temper {\n\nstd::string_view ${FUNCTION}(std::string_view name);\n\n${arrays}\n"
                    "std::string_view ${FUNCTION}(std::string_view name) {\n${lookups}  return {};\n}\n\n}  // namespace temper\n")
  return()
endif()

set(TEMPER_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(temper_embed target function folder)
  set(out ${CMAKE_BINARY_DIR}/embedded/${function}.cc)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/embedded)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.html ${folder}/*.css ${folder}/*.js)
  add_custom_command(OUTPUT ${out}
                     COMMAND ${CMAKE_COMMAND} -DFOLDER=${folder} -DFUNCTION=${function} -DOUT=${out} -P ${TEMPER_EMBED_SCRIPT}
                     DEPENDS ${files} ${TEMPER_EMBED_SCRIPT} VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
