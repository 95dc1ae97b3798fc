#!/bin/sh
failed=0
check() {
    if [ "$1" = "$2" ]; then echo "ok      $2"; else echo "FAILED  expected '$1', found '$2'"; failed=1; fi
}
check "Hello, Ada!" "$(sh ./greet.sh Ada)"
check "Hello, world!" "$(sh ./greet.sh)"
exit $failed
