// The test runner. Cases whose name begins with "slow: " run in ctest entries of their own (ctest -L slow).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
