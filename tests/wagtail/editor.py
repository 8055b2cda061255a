"""An editor at work in Wagtail's own admin."""
from harness.visitor import form_fields

FORM = "#page-edit-form"


class Editor:
    """Signs a visitor in at `/admin` and uses the forms there."""

    def __init__(self, visitor):
        self.visitor = visitor.sign_in("/admin/login/", "editor")

    def page_id(self, slug):
        """The number under which the admin knows a page."""
        found = self.visitor.get("/admin/api/main/pages/", params={"slug": slug}).json()["items"]
        assert len(found) == 1, found
        return found[0]["id"]

    def preview(self, slug, **changes):
        """Opens the preview of an edit that has not been saved."""
        path = f"/admin/pages/{self.page_id(slug)}/edit/"
        fields = form_fields(self.visitor.get(path), FORM) | changes
        saved = self.visitor.post(path + "preview/", data=fields)
        assert saved.json()["is_valid"], saved.text
        return self.visitor.get(path + "preview/")

    def save_draft(self, slug, **changes):
        """Edits a page and keeps the change as a draft."""
        self._edit(slug, changes)

    def publish(self, slug, **changes):
        """Edits a page and publishes it."""
        self._edit(slug, changes | {"action-publish": "action-publish"})

    def unpublish(self, slug):
        """Takes a page off the site."""
        path = f"/admin/pages/{self.page_id(slug)}/unpublish/"
        self._sent(self.visitor.post(path, data=form_fields(self.visitor.get(path), f'form[action="{path}"]')))

    def _edit(self, slug, changes):
        path = f"/admin/pages/{self.page_id(slug)}/edit/"
        fields = form_fields(self.visitor.get(path), FORM) | changes
        self._sent(self.visitor.post(path, data=fields))

    @staticmethod
    def _sent(answer):
        # Wagtail answers an accepted form with a redirect, and one that it does not like with the form again.
        assert answer.status_code == 302, f"{answer.status_code}\n{answer.text[:3000]}"
