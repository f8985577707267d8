# Embeds text files in a library, so that what the program shows of its source is what was compiled.
#
# Included: tplab_embed_texts(TARGET FILE...) adds embedded_texts.cpp (viz/explore/sources.h), made
# again when a file changes. As a script (cmake -DOUT=FILE -DROOT=DIR -DTEXTS=a.h,b.js -P ...):
# writes it.

function(tplab_embed_texts target)
  set(out ${PROJECT_BINARY_DIR}/generated/embedded_texts.cpp)
  set(script ${PROJECT_SOURCE_DIR}/cmake/EmbedTexts.cmake)
  list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE paths)
  list(JOIN ARGN "," joined)
  add_custom_command(OUTPUT ${out} DEPENDS ${paths} ${script} VERBATIM
                     COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DROOT=${PROJECT_SOURCE_DIR}
                             -DTEXTS=${joined} -P ${script}
                     COMMENT "Embedding the source that the explorer shows")
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
  file(WRITE ${OUT} "// Made by cmake/EmbedTexts.cmake: source files as characters.
#include <fmt/format.h>

#include \"sim/error.h\"
#include \"viz/explore/sources.h\"

namespace tplab::explore {

namespace {

struct Text {
  std::string_view path, text;
};

${arrays}
constexpr Text kTexts[] = {
${rows}};

}  // namespace

std::string_view embedded_text(std::string_view path) {
  for (const Text& text : kTexts)
    if (text.path == path) return text.text;
  throw Error(ErrorKind::run, fmt::format(\"{} is not embedded in this build\", path),
              \"add it to tplab_embed_texts in CMakeLists.txt\");
}

}  // namespace tplab::explore
")
endif()
