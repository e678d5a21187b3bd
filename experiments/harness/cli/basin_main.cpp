// `basin list`, `basin run NAME [options]`, `basin --version`.
#include "experiments/harness/run.h"

int main(int argc, char** argv) {
  return basin::basin_main(argc, argv);
}
