// `basin-NAME [options]`: linked with the one figure that it runs.
#include "experiments/harness/run.h"

int main(int argc, char** argv) {
  return basin::single_main(argc, argv);
}
