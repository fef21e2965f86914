/* A host of PAM as servers are: it lives long and logs many users in, in several threads if it is asked to.
 *
 * host SERVICE USER ROUNDS THREADS, with the password on standard input. Prints how much memory it has after
 * a tenth of the rounds and after all of them (in KiB), and how many files are open then. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of <security/pam_appl.h>, which a machine without development packages does not have. */
struct pam_message { int msg_style; const char *msg; };
struct pam_response { char *resp; int resp_retcode; };
struct pam_conv {
    int (*conv)(int, const struct pam_message **, struct pam_response **, void *);
    void *appdata_ptr;
};
typedef struct pam_handle pam_handle_t;
int pam_start(const char *, const char *, const struct pam_conv *, pam_handle_t **);
int pam_authenticate(pam_handle_t *, int);
int pam_acct_mgmt(pam_handle_t *, int);
int pam_open_session(pam_handle_t *, int);
int pam_close_session(pam_handle_t *, int);
int pam_end(pam_handle_t *, int);

static char *service, *user, password[512];
static int rounds;

static int answer(int count, const struct pam_message **asked, struct pam_response **answers, void *data)
{
    struct pam_response *given = calloc(count, sizeof *given);
    for (int i = 0; i < count; i++)
        if (asked[i]->msg_style == 1) /* PAM_PROMPT_ECHO_OFF */
            given[i].resp = strdup(password);
    *answers = given;
    return data == NULL ? 0 : 19;
}

static void *log_in(void *failures)
{
    const struct pam_conv conv = { answer, NULL };
    for (int i = 0; i < rounds; i++) {
        pam_handle_t *pamh;
        int status = pam_start(service, user, &conv, &pamh);
        if (status == 0) status = pam_authenticate(pamh, 0);
        if (status == 0) status = pam_acct_mgmt(pamh, 0);
        if (status == 0) status = pam_open_session(pamh, 0);
        if (status == 0) status = pam_close_session(pamh, 0);
        pam_end(pamh, status);
        if (status != 0) __atomic_add_fetch((int *)failures, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static long memory(void)
{
    char line[256];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %ld kB", &kib) == 1) break;
    fclose(status);
    return kib;
}

static int files(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

static int run(int threads, int each)
{
    pthread_t ids[64];
    int failures = 0;
    rounds = each;
    for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, log_in, &failures);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    return failures;
}

int main(int argc, char **argv)
{
    if (argc != 5 || !fgets(password, sizeof password, stdin)) return 2;
    password[strcspn(password, "\n")] = 0;
    service = argv[1];
    user = argv[2];
    int all = atoi(argv[3]), threads = atoi(argv[4]);
    int failures = run(threads, all / 10);
    long before = memory();
    int open_before = files();
    failures += run(threads, all - all / 10);
    printf("%d failures, %ld KiB, %ld KiB, %d files, %d files\n", failures, before, memory(), open_before, files());
    return failures != 0;
}
