#include "base/task.h"
#include "cmd/cmd.h"

int main(int argc, char **argv)
{
    return task_leave(cmd_main(argc, argv));
}
