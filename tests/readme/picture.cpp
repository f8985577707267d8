// Turns what a terminal shows into an SVG. Usage: COMMAND | picture "TITLE" > FILE.svg
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>

#include "viz/drawing/terminal_picture.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: COMMAND | %s TITLE > FILE.svg\n", argv[0]);
    return 2;
  }
  std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  std::erase(text, '\r');  // a terminal ends its lines with one
  std::cout << tplab::terminal_picture(argv[1], text);
}
