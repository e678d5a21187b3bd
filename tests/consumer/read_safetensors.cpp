// Prints the names, shapes and numbers of a safetensors file, whoever wrote it: read_safetensors
// FILE
#include <iostream>

#include "engine/safetensors.h"

using namespace basin;

int main(int count, char** arguments) {
  try {
    require(count == 2, "usage: read_safetensors FILE");
    const SafeTensors file = load_safetensors(arguments[1]);
    for (const auto& [key, value] : file.metadata) std::cout << key << " = " << value << "\n";
    for (const auto& [name, array] : file.tensors)
      std::cout << name << " " << to_string(array) << "\n";
    return 0;
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return error.exit_code();
  }
}
