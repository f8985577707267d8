# Writes documentation.cpp, which holds the project's own Markdown as a text to train on.
#
# Included: tplab_embed_documentation(TARGET) adds the file to a target, made again when a document
# changes. As a script (cmake -DOUT=FILE -DDOCUMENTS=a.md,b.md -P ...): writes it.

function(tplab_embed_documentation target)
  set(documents ${PROJECT_SOURCE_DIR}/README.md)
  foreach(folder IN ITEMS sim model verify viz cli tests)  # in the order one reads them
    list(APPEND documents ${PROJECT_SOURCE_DIR}/${folder}/README.md)
  endforeach()
  file(GLOB tutorials CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tutorials/*.md)
  list(APPEND documents ${tutorials})
  set(out ${PROJECT_BINARY_DIR}/generated/documentation.cpp)
  set(script ${PROJECT_SOURCE_DIR}/cmake/EmbedDocumentation.cmake)
  list(JOIN documents "," joined)
  add_custom_command(OUTPUT ${out} DEPENDS ${documents} ${script} VERBATIM
                     COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DDOCUMENTS=${joined} -P ${script}
                     COMMENT "Embedding the documentation")
  target_sources(${target} PRIVATE ${out})
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
  string(REPLACE "," ";" documents "${DOCUMENTS}")
  set(hex "")
  foreach(document IN LISTS documents)
    file(READ ${document} bytes HEX)
    string(APPEND hex ${bytes} 0a)
  endforeach()
  # Characters one by one: no limit on a literal's length, and nothing to escape.
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," characters "${hex}")
  string(REPLACE "'\\x0a'," "'\\x0a',\n" characters "${characters}")  # a line of text, a line here
  file(WRITE ${OUT} "// Made by cmake/EmbedDocumentation.cmake: the documentation as characters.
#include \"model/training/documentation.h\"

namespace tplab {

std::string_view documentation_text() {
  static constexpr char kText[] = {
${characters}};
  return {kText, sizeof kText};
}

}  // namespace tplab
")
endif()
