#include "api/control.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/folders.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/peer.h"

#define SOCKET_PREFIX "control-"
#define SOCKET_SUFFIX ".sock"

char *control_dir(void)
{
    return folder_runtime();
}

char *control_path(int port)
{
    char *dir = control_dir();
    char *path = xasprintf("%s/" SOCKET_PREFIX "%d" SOCKET_SUFFIX, dir, port);
    free(dir);
    return path;
}

char *control_log_path(int port)
{
    char *dir = control_dir();
    char *path = xasprintf("%s/proxy-%d.log", dir, port);
    free(dir);
    return path;
}

static int is_socket_name(const struct dirent *d)
{
    size_t n = strlen(d->d_name), suffix = strlen(SOCKET_SUFFIX);
    return n > suffix && strncmp(d->d_name, SOCKET_PREFIX, strlen(SOCKET_PREFIX)) == 0 &&
           strcmp(d->d_name + n - suffix, SOCKET_SUFFIX) == 0;
}

char **control_list(size_t *n)
{
    char *dir = control_dir();
    struct dirent **found = NULL;
    int count = scandir(dir, &found, is_socket_name, alphasort);
    *n = count > 0 ? (size_t)count : 0;
    char **list = xcalloc(*n + 1, sizeof(*list));
    for (size_t i = 0; i < *n; i++) {
        list[i] = xasprintf("%s/%s", dir, found[i]->d_name);
        free(found[i]);
    }
    free(found);
    free(dir);
    return list;
}

int control_dir_make(char **cause)
{
    return folder_runtime_make(cause);
}

bool control_alive(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sa.sun_path))
        return false;
    strcpy(sa.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool alive = connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EAGAIN;
    close(fd);
    return alive;
}

char *control_listen(struct httpd *h, int port, char **cause)
{
    if (control_dir_make(cause) < 0)
        return NULL;
    char *path = control_path(port);
    if (httpd_listen_unix(h, path, cause) == 0)
        return path;
    free(path);
    return NULL;
}

json_t *control_commands_json(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &command_table[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", c->name, "args", c->args, "help", c->help));
    }
    return json_pack("{s:o}", "commands", list);
}

static void handle_commands(struct httpd_request *r, void *arg)
{
    httpd_reply_json(r, 200, control_commands_json());
}

/* The name that this machine has in its own network, "NAME" or "NAME:PORT". */
static bool is_own_name(const char *host)
{
    char name[256] = "";
    size_t n = gethostname(name, sizeof(name) - 1) == 0 ? strlen(name) : 0;
    return n > 0 && strncasecmp(host, name, n) == 0 && (host[n] == '\0' || host[n] == ':');
}

/* Without a token only this machine may command, and a web page that a browser on this machine shows is not this
 * machine: browsers name the page in Origin, or, where the page's own name leads here, ask for that name. */
static const char *why_refused(const struct control *c, const struct httpd_request *r)
{
    if (*c->token_set || strcmp(httpd_peer(r), "unix") == 0)
        return NULL;
    if (!httpd_peer_is_local(r))
        return "commands from other machines need a token: set proxy.auth_token";
    if (httpd_header(r, "Origin"))
        return "commands from web pages need a token: set proxy.auth_token";
    const char *host = httpd_header(r, "Host");
    if (!peer_host_is_plain(host) && !is_own_name(host))
        return "commands by a name of this machine need a token (set proxy.auth_token), or use localhost or an address";
    return NULL;
}

/* A request whose command is under way. */
struct waiting {
    struct control *control;
    struct httpd_request *request;
    struct command_call *call; /* NULL: it has ended */
    struct waiting *prev, *next;
};

static void on_done(void *arg, json_t *reply, const char *why)
{
    struct waiting *w = arg;
    if (reply != NULL)
        httpd_reply_json(w->request, 200, reply);
    else
        httpd_reply_error(w->request, 400, NULL, "command_failed", "%s", why);
    if (w->prev != NULL)
        w->prev->next = w->next;
    else
        w->control->waiting = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    free(w);
}

bool control_refuses(const struct control *c, struct httpd_request *r)
{
    const char *refused = why_refused(c, r);
    if (refused)
        httpd_reply_error(r, 403, NULL, "token_required", "%s", refused);
    return refused != NULL;
}

static void handle_command(struct httpd_request *r, void *arg)
{
    struct control *c = arg;
    if (control_refuses(c, r))
        return;
    size_t len;
    const char *body = httpd_body(r, &len);
    char *cause = NULL;
    json_t *request = json_parse_object(body, len, &cause);
    if (!request) {
        httpd_reply_error(r, 400, NULL, "command_failed", "%s", cause);
        free(cause);
        return;
    }
    struct waiting *w = xcalloc(1, sizeof(*w));
    *w = (struct waiting){.control = c, .request = r, .next = c->waiting};
    if (w->next != NULL)
        w->next->prev = w;
    c->waiting = w;
    struct command_call *call = command_run(&c->engines, request, on_done, w);
    if (call != NULL)
        w->call = call;
    json_decref(request);
}

void control_route(struct control *c, struct httpd *h)
{
    httpd_route(h, HTTPD_GET, "/v1/tightwad/commands", false, handle_commands, c);
    httpd_route(h, HTTPD_POST, "/v1/tightwad/command", false, handle_command, c);
}

void control_finish(struct control *c)
{
    for (struct waiting *w = c->waiting, *next; w != NULL; w = next) {
        next = w->next;
        command_cancel(w->call);
        httpd_reply_error(w->request, 503, NULL, "stopping", "this instance is stopping");
        free(w);
    }
    c->waiting = NULL;
}
