# Embeds text files in a library: what a program shows of them is what it was compiled with.
#
# Included: tplab_embed_texts(TARGET FUNCTION HEADER FILE...) adds a file that defines FUNCTION,
# which HEADER declares as std::span<const EmbeddedText>; made again when a text changes. As a script
# (cmake -DOUT=FILE -DROOT=DIR -DFUNCTION=f -DHEADER=h -DTEXTS=a.h,b.js -P ...): writes it.

function(tplab_embed_texts target function header)
  set(out ${PROJECT_BINARY_DIR}/generated/${function}.cpp)
  set(script ${PROJECT_SOURCE_DIR}/cmake/EmbedTexts.cmake)
  list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE paths)
  list(JOIN ARGN "," joined)
  add_custom_command(OUTPUT ${out} DEPENDS ${paths} ${script} VERBATIM
                     COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DROOT=${PROJECT_SOURCE_DIR}
                             -DFUNCTION=${function} -DHEADER=${header} -DTEXTS=${joined}
                             -P ${script}
                     COMMENT "Embedding ${function}")
  target_sources(${target} PRIVATE ${out})
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
  string(REPLACE "," ";" texts "${TEXTS}")
  set(arrays "")
  set(rows "")
  set(number 0)
  foreach(text IN LISTS texts)
    file(READ ${ROOT}/${text} hex HEX)
    # Characters one by one: no limit on a literal's length, and nothing to escape.
    string(REGEX REPLACE "(..)" "'\\\\x\\1'," characters "${hex}")
    string(REPLACE "'\\x0a'," "'\\x0a',\n" characters "${characters}")
    string(APPEND arrays "constexpr char kText${number}[] = {\n${characters}};\n")
    string(APPEND rows "    {\"${text}\", {kText${number}, sizeof kText${number}}},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  file(WRITE ${OUT} "// Made by cmake/EmbedTexts.cmake: files as characters.
#include \"${HEADER}\"

namespace tplab {

namespace {

${arrays}
constexpr EmbeddedText kTexts[] = {
${rows}};

}  // namespace

std::span<const EmbeddedText> ${FUNCTION}() { return kTexts; }

}  // namespace tplab
")
endif()
