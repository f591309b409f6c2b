// Without libFuzzer: replays the files of the folders given, then N inputs from a fixed seed. TARGET [FOLDER...] [-N]
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "fuzz/input.h"

int main(int argc, char** argv) {
  int random = 0, runs = 0;
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] == '-') {
      random = std::atoi(argv[i] + 1);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
      longhaul::fuzz::run({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
      ++runs;
    }
  }
  std::mt19937 generator(20260923);
  for (int i = 0; i < random; ++i, ++runs) {
    std::vector<uint8_t> bytes(generator() % 2048);
    for (uint8_t& byte : bytes) byte = uint8_t(generator() >> 24);
    longhaul::fuzz::run({bytes.data(), bytes.size()});
  }
  std::printf("%d runs\n", runs);
}
