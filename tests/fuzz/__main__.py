import sys

from tests.fuzz.run import main

main(sys.argv[1:])
