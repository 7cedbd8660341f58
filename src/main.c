#include "base/descriptors.h"
#include "base/task.h"
#include "cmd/cmd.h"

int main(int argc, char **argv)
{
    descriptors_complete();
    return task_leave(cmd_main(argc, argv));
}
